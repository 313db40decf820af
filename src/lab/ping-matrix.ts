import { run } from '../host/exec.ts';
import type { Family } from '../net/ip.ts';
import type { Lab } from './lab.ts';
import { containerAddresses } from './network.ts';
import { inNamespace } from './processes.ts';
import type { LabHost } from './topology.ts';

export interface PingResult {
  readonly from: string;
  readonly to: string;
  readonly family: Family;
  /** Milliseconds; `undefined` when no answer came. */
  readonly roundTrip: number | undefined;
}

/** IPv4 header (20 bytes) or IPv6 header (40), and ICMP header. */
const PING_OVERHEAD: Readonly<Record<Family, number>> = { 4: 28, 6: 48 };

/** One container pings another. */
interface Ping {
  readonly from: LabHost;
  readonly to: LabHost;
  readonly address: string;
  /** Bytes: of the overlay, where it starts. */
  readonly mtu: number;
}

/**
 * Pings from every container to every other in each family, with packets of the overlay's full MTU that must not be
 * fragmented. Those of IPv4 come first.
 * @param patience with each, seconds
 */
export async function pingMatrix(lab: Lab, patience = 2): Promise<PingResult[]> {
  const hosts = await Promise.all(
    lab.hosts().map(async (host) => ({ host, status: await lab.status(host).catch(() => undefined) })),
  );
  const containers = hosts.flatMap(({ host, status }) =>
    status?.lease && status.mtu
      ? [{ host, addresses: containerAddresses(status.lease.subnets), mtu: status.mtu }]
      : [],
  );
  const results: PingResult[] = [];
  for (const { host: from, mtu } of containers) {
    const row = containers
      .filter(({ host }) => host !== from)
      .flatMap(({ host: to, addresses }) =>
        addresses.map((address) => answerTo({ from, to, address, mtu }, patience)),
      );
    results.push(...(await Promise.all(row)));
  }
  return results.sort((one, other) => one.family - other.family);
}

async function answerTo({ from, to, address, mtu }: Ping, patience: number): Promise<PingResult> {
  const family = address.includes(':') ? 6 : 4;
  const size = String(mtu - PING_OVERHEAD[family]);
  const words = ['ping', '-n', '-c', '1', '-W', String(patience), '-M', 'do', '-s', size, address];
  const [program = '', ...args] = inNamespace(from.container.namespace, words);
  const { stdout } = await run(program, args, { allowFailure: true });
  const time = /time=([\d.]+) ms/.exec(stdout)?.[1];
  const roundTrip = time === undefined ? undefined : Number(time);
  return { from: from.container.name, to: to.container.name, family, roundTrip };
}
