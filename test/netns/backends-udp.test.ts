import { type Cell, describeCells } from '../support/backend-cell.ts';

/** All that is for others leads into the tunnel, whoever they are. */
const TUNNEL: Pick<Cell, 'devices' | 'way'> = {
  devices: ['corduroy0'],
  way: () => ({ dev: 'corduroy0' }),
};
const DGRAM = { Type: 'udp', Engine: 'dgram' };
const DIRECT = { Type: 'udp', DirectRouting: true };

describeCells([
  { ...TUNNEL, backend: { Type: 'udp' }, families: [4], mtu: 1472 },
  { ...TUNNEL, backend: { Type: 'udp' }, families: [4, 6], mtu: 1472 },
  { ...TUNNEL, backend: { Type: 'udp' }, families: [6], mtu: 1452 },
  { ...TUNNEL, backend: DGRAM, families: [4], mtu: 1472 },
  { ...TUNNEL, backend: DGRAM, families: [4, 6], mtu: 1472 },
  { ...TUNNEL, backend: DGRAM, families: [6], mtu: 1452 },
  {
    backend: DIRECT,
    families: [4, 6],
    links: 2,
    mtu: 1472,
    devices: ['corduroy0'],
    way: ({ isOnLink, address }) => (isOnLink ? { dev: 'eth0', gateway: address } : { dev: 'corduroy0' }),
  },
]);
