import type { VxlanLink, VxlanTables } from './state.ts';

/** Lines, each group in its place of a HostPlan. */
export interface VxlanPlan {
  readonly neighbours: readonly string[];
  readonly offload: readonly string[];
  readonly fdb: readonly string[];
  readonly staleNeighbours: readonly string[];
  readonly staleFdb: readonly string[];
}

/**
 * What makes the tables of a VXLAN device hold its remotes, and no others. `replace` is enough where one has moved: the
 * kernel keeps one destination for each hardware address of a host.
 *
 * @param tables `undefined` when the device is about to be made
 */
export function planVxlan(wanted: VxlanLink, tables: VxlanTables | undefined): VxlanPlan {
  const { name, txChecksum } = wanted;
  const { neighbours, fdb } = tables ?? NONE;
  const macs = new Map(wanted.remotes.map(({ ip, mac }) => [ip.toString(), mac]));
  const destinations = new Map(wanted.remotes.map(({ mac, destination }) => [mac, destination.toString()]));
  return {
    neighbours: [...macs]
      .filter(([ip, mac]) => neighbours.get(ip) !== mac)
      .map(([ip, mac]) => `neighbour replace ${ip} lladdr ${mac} dev ${name} nud permanent`),
    offload:
      txChecksum === undefined || tables?.txChecksum === txChecksum || lacksEthtool(wanted, tables)
        ? []
        : [`ethtool -K ${name} tx-checksum-ip-generic ${txChecksum ? 'on' : 'off'}`],
    fdb: [...destinations]
      .filter(([mac, destination]) => !fdb.get(mac)?.includes(destination))
      .map(([mac, destination]) => `fdb replace ${mac} dev ${name} dst ${destination} self permanent`),
    staleNeighbours: [...neighbours.keys()]
      .filter((ip) => !macs.has(ip))
      .map((ip) => `neighbour delete ${ip} dev ${name}`),
    staleFdb: [...fdb]
      .filter(([mac]) => !destinations.has(mac))
      .flatMap(([mac, found]) =>
        found.map((destination) => `fdb delete ${mac} dev ${name} dst ${destination} self`),
      ),
  };
}

/** Whether a device that is there does without the wished `txChecksum`, since nothing on the host can tell or set it. */
export function lacksEthtool({ txChecksumOptional }: VxlanLink, tables: VxlanTables | undefined): boolean {
  return txChecksumOptional === true && tables !== undefined && tables.txChecksum === undefined;
}

const NONE: VxlanTables = { neighbours: new Map(), fdb: new Map() };
