import type { Lab } from '../../lab/lab.ts';
import { containerAddresses } from '../../lab/network.ts';
import { table } from '../format.ts';

/** A table of the hosts. */
export async function describeLab(lab: Lab): Promise<string> {
  const rows = lab.hosts().map(async (host) => {
    const status = await lab.status(host).catch(() => undefined);
    if (status === undefined)
      return [host.name, host.addresses.join(' '), '-', host.container.name, '-', '-', 'no daemon'];
    const subnets = status.lease?.subnets ?? [];
    return [
      host.name,
      host.addresses.join(' '),
      subnets.join(' ') || '-',
      host.container.name,
      containerAddresses(subnets).join(' ') || '-',
      String(status.peers.length),
      status.problems.length === 0 ? 'well' : status.problems.join('; '),
    ];
  });
  return table([
    ['HOST', 'ADDRESS', 'SUBNET', 'CONTAINER', 'ADDRESS', 'PEERS', 'HEALTH'],
    ...(await Promise.all(rows)),
  ]);
}
