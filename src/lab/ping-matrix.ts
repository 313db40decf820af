import { run } from '../host/exec.ts';
import { containerAddress, type Lab } from './lab.ts';
import { inNamespace } from './processes.ts';
import type { LabHost } from './topology.ts';

export interface PingResult {
  readonly from: string;
  readonly to: string;
  /** Milliseconds; `undefined` when no answer came. */
  readonly roundTrip: number | undefined;
}

/** IPv4 header and ICMP header. */
const PING_OVERHEAD = 28;

/** Pings from every container to every other, with packets of the overlay's full MTU that must not be fragmented. */
export async function pingMatrix(lab: Lab): Promise<PingResult[]> {
  const hosts = await Promise.all(
    lab.hosts().map(async (host) => ({ host, status: await lab.status(host).catch(() => undefined) })),
  );
  const containers = hosts.flatMap(({ host, status }) =>
    status?.lease && status.mtu
      ? [{ host, address: containerAddress(status.lease.subnets), mtu: status.mtu }]
      : [],
  );
  const results: PingResult[] = [];
  for (const from of containers) {
    const others = containers.filter(({ host }) => host !== from.host);
    const row = others.map(async (to) => ({
      from: from.host.container.name,
      to: to.host.container.name,
      roundTrip: await ping(from.host, to.address, from.mtu),
    }));
    results.push(...(await Promise.all(row)));
  }
  return results;
}

async function ping(from: LabHost, address: string, mtu: number): Promise<number | undefined> {
  const words = ['ping', '-n', '-c', '1', '-W', '2', '-M', 'do', '-s', String(mtu - PING_OVERHEAD), address];
  const [program = '', ...args] = inNamespace(from.container.namespace, words);
  const { stdout } = await run(program, args, { allowFailure: true });
  const time = /time=([\d.]+) ms/.exec(stdout)?.[1];
  return time === undefined ? undefined : Number(time);
}
