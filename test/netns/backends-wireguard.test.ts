import { spawnSync } from 'node:child_process';
import { type Cell, describeCells } from '../support/backend-cell.ts';

function wireguardObstacle(): string | undefined {
  if (spawnSync('wg', ['--version']).error) return 'needs wg (make test installs it)';
  const { status } = spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'probe', 'type', 'wireguard']);
  if (status === 0 || spawnSync('wireguard-go', ['--version']).error === undefined) return undefined;
  return 'needs a kernel with wireguard, or wireguard-go (make test installs it)';
}

/** Each family has a device of its own, as in flannel's mode `separate`. */
const WIREGUARD: Omit<Cell, 'families' | 'devices'> = {
  backend: { Type: 'wireguard' },
  mtu: 1420,
  way: ({ family }) => ({ dev: family === 4 ? 'corduroy-wg' : 'corduroy-wg6' }),
  unreachable: 'vxlan',
  obstacle: wireguardObstacle,
};

describeCells([
  { ...WIREGUARD, families: [4], devices: ['corduroy-wg'] },
  { ...WIREGUARD, families: [4, 6], devices: ['corduroy-wg', 'corduroy-wg6'] },
  { ...WIREGUARD, families: [6], devices: ['corduroy-wg6'] },
  {
    ...WIREGUARD,
    backend: { Type: 'wireguard', Mode: 'auto' },
    families: [4, 6],
    devices: ['corduroy-wg'],
    way: () => ({ dev: 'corduroy-wg' }),
  },
]);
