import { spawnSync } from 'node:child_process';
import { type Cell, describeCells } from '../support/backend-cell.ts';

const VXLAN: Omit<Cell, 'families' | 'devices' | 'mtu'> = {
  backend: { Type: 'vxlan' },
  way: ({ family, first }) => ({ dev: family === 4 ? 'corduroy.1' : 'corduroy6.1', gateway: first }),
  unreachable: 'host-gw',
};
const HOST_GW: Omit<Cell, 'families'> = {
  backend: { Type: 'host-gw' },
  mtu: 1500,
  devices: [],
  way: ({ address }) => ({ dev: 'eth0', gateway: address }),
  unreachable: 'vxlan',
};

function ipipObstacle(): string | undefined {
  const words = ['link', 'add', 'probe', 'type', 'ipip', 'local', '192.0.2.1'];
  const { status } = spawnSync('unshare', ['--net', 'ip', ...words]);
  return status === 0 ? undefined : 'needs a kernel with ipip';
}

describeCells([
  { ...VXLAN, families: [4], mtu: 1450, devices: ['corduroy.1'] },
  { ...VXLAN, families: [4, 6], mtu: 1430, devices: ['corduroy.1', 'corduroy6.1'] },
  { ...VXLAN, families: [6], mtu: 1430, devices: ['corduroy6.1'] },
  {
    ...VXLAN,
    backend: { Type: 'vxlan', DirectRouting: true },
    families: [4, 6],
    links: 2,
    mtu: 1430,
    devices: ['corduroy.1', 'corduroy6.1'],
    way: (to) => (to.isOnLink ? { dev: 'eth0', gateway: to.address } : VXLAN.way(to)),
  },
  { ...HOST_GW, families: [4] },
  { ...HOST_GW, families: [4, 6] },
  { ...HOST_GW, families: [6] },
  {
    backend: { Type: 'ipip' },
    families: [4],
    mtu: 1480,
    devices: ['corduroy.ipip'],
    way: ({ address }) => ({ dev: 'corduroy.ipip', gateway: address }),
    unreachable: 'vxlan',
    obstacle: ipipObstacle,
  },
]);
