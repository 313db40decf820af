import { Ip } from '../net/ip.ts';
import { run, runIfThere } from './exec.ts';
import type { VxlanLink, VxlanTables } from './state.ts';

/** The part of `ip -j neigh show` that is read. */
interface NeighbourRecord {
  readonly dst?: string;
  readonly lladdr?: string;
}

/** The part of `bridge -j fdb show` that is read. */
interface FdbRecord {
  readonly mac?: string;
  readonly dst?: string;
  readonly state?: string;
}

/** What a VXLAN device holds. Empty when it is gone meanwhile. @throws CorduroyError `host-command` */
export async function observeVxlan({ name, txChecksum }: VxlanLink): Promise<VxlanTables> {
  const [neighbours, fdb, features] = await Promise.all([
    run('ip', ['-j', 'neigh', 'show', 'dev', name, 'nud', 'permanent'], { allowFailure: true }),
    run('bridge', ['-j', 'fdb', 'show', 'dev', name], { allowFailure: true }),
    txChecksum === undefined ? undefined : runIfThere('ethtool', ['-k', name]),
  ]);
  return {
    neighbours: neighboursIn(parse(neighbours.stdout)),
    fdb: fdbIn(parse(fdb.stdout)),
    ...(features && txChecksumIn(features.stdout)),
  };
}

function parse<T>(json: string): T[] {
  return json.trim() === '' ? [] : (JSON.parse(json) as T[]);
}

export function neighboursIn(records: readonly NeighbourRecord[]): Map<string, string> {
  return new Map(
    records.flatMap(({ dst, lladdr }) => {
      const ip = Ip.tryParse(dst ?? '');
      return ip === undefined ? [] : [[ip.toString(), (lladdr ?? '').toLowerCase()]];
    }),
  );
}

/** A VXLAN that is a port of a bridge has entries of the bridge's, too, which lead to no address. */
export function fdbIn(records: readonly FdbRecord[]): Map<string, string[]> {
  const destinations = new Map<string, string[]>();
  for (const { mac = '', dst = '', state } of records) {
    const ip = Ip.tryParse(dst);
    if (ip === undefined || state !== 'permanent') continue;
    const key = mac.toLowerCase();
    const before = destinations.get(key);
    if (before === undefined) destinations.set(key, [ip.toString()]);
    else before.push(ip.toString());
  }
  return destinations;
}

/** @param features what `ethtool -k` says */
export function txChecksumIn(features: string): Pick<VxlanTables, 'txChecksum'> {
  const [, value] = /^\s*tx-checksum-ip-generic: (on|off)/m.exec(features) ?? [];
  return value === undefined ? {} : { txChecksum: value === 'on' };
}
