import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { CorduroyError } from '../errors.ts';

/** The Debian package of each program that a lab runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  sysctl: 'procps',
  etcd: 'etcd-server',
  ping: 'iputils-ping',
  nft: 'nftables',
  iptables: 'iptables',
};

/** @throws CorduroyError `usage` naming what is missing on this machine, and how to install it */
export async function requireTools(): Promise<void> {
  const folders = (process.env.PATH ?? '').split(':');
  const missing = Object.keys(PACKAGES).filter(
    (tool) => !folders.some((folder) => isExecutable(join(folder, tool))),
  );
  if (missing.length > 0) {
    const wanted = [...new Set(missing.map((tool) => PACKAGES[tool]))].join(' ');
    throw new CorduroyError(
      'usage',
      `missing on this machine: ${missing.join(', ')}. Install: apt-get install ${wanted}`,
    );
  }
  if (!isExecutable('/dev/net/tun', constants.R_OK)) {
    throw new CorduroyError('usage', 'there is no /dev/net/tun: load the driver with: modprobe tun');
  }
}

function isExecutable(path: string, mode = constants.X_OK): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
