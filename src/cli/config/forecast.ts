import type { NetworkConfig, SubnetRange } from '../../config/network-config.ts';
import { fitsRange, freeSubnets } from '../../ipam/pick-subnet.ts';
import type { Cluster } from '../../lease/cluster.ts';
import { isOwn, leaseName } from '../../lease/lease-record.ts';
import { isNobodys, type StoredLease } from '../../lease/lease-table.ts';
import { isFor } from '../../lease/reservation.ts';
import type { Ip } from '../../net/ip.ts';
import type { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import { backendLines } from './backend-forecast.ts';

/** What a network config will do that is about to be written, a sentence each. */
export interface Forecast {
  readonly lines: readonly string[];
  /** What it takes away from hosts that run, for which it takes --force. */
  readonly losses: readonly string[];
}

/** @param before `undefined`: there is none, or one that cannot be read */
export function forecast(
  before: NetworkConfig | undefined,
  after: NetworkConfig,
  cluster: Cluster,
): Forecast {
  const hosts = cluster.leases.leases().filter((lease) => isHosts(lease, cluster));
  const losses = [
    ...hosts.flatMap((lease) => lossOf(lease, after.ranges, nameOf(lease, cluster))),
    ...tooFew(hosts, cluster, after.ranges),
  ];
  const staying = hosts.filter((lease) => lossOf(lease, after.ranges, '').length === 0);
  const lines = [
    ...(before === undefined ? [] : networkLines(before.ranges, after.ranges)),
    ...(before === undefined ? [] : backendLines(before.backend, after.backend)),
    ...(staying.length === 0
      ? []
      : [`${hostsText(staying.length, 'keeps its subnet', 'keep their subnets')}`]),
    ...reservationLines(cluster, after.ranges),
    ...flanneldLines(hosts, cluster),
  ];
  return { lines, losses };
}

/** Whether a host uses it: reserved subnets nobody may have come for. */
function isHosts(lease: StoredLease, { nodes }: Cluster): boolean {
  return !isNobodys(lease) && (lease.entry.leaseId !== undefined || nodes.holderOf(lease) !== undefined);
}

/** `h2 (10.5.9.0/24)` */
function nameOf(lease: StoredLease, { nodes }: Cluster): string {
  const { publicIp, publicIpv6 } = lease.attributes;
  const name = nodes.holderOf(lease)?.hostName ?? String(publicIp ?? publicIpv6);
  return `${printable(name)} (${lease.subnets.join(', ')})`;
}

function addressInside({ attributes }: StoredLease, ranges: readonly SubnetRange[]): Ip | undefined {
  return [attributes.publicIp, attributes.publicIpv6].find(
    (ip) => ip !== undefined && ranges.some(({ network }) => network.contains(ip)),
  );
}

function lossOf(lease: StoredLease, ranges: readonly SubnetRange[], name: string): string[] {
  const inside = addressInside(lease, ranges);
  if (inside !== undefined) {
    return [
      `${name} has the address ${inside}, which lies inside the network: it goes on by the network config before, ` +
        'whether --force is given or not',
    ];
  }
  return lease.subnets
    .filter((subnet) => !ranges.some((range) => fitsRange(range, subnet)))
    .map((subnet) => `${name} ${lossText(subnet, ranges)}`);
}

function lossText(subnet: Prefix, ranges: readonly SubnetRange[]): string {
  const isReplaced = ranges.some(({ network }) => network.family === subnet.family);
  return isReplaced
    ? `has to lease another subnet in place of ${subnet}: its containers lose the network until they are restarted`
    : `gives up ${subnet}: what its containers do by IPv${subnet.family} ends, and they have to be restarted`;
}

/** Who has to lease a subnet, and what there is for them once those who keep theirs, and every reservation, are served. */
function tooFew(hosts: readonly StoredLease[], cluster: Cluster, ranges: readonly SubnetRange[]): string[] {
  return ranges.flatMap((range) => {
    const fits = ({ subnets }: StoredLease) => subnets.some((subnet) => fitsRange(range, subnet));
    const all = cluster.leases.leases();
    const reserved = all.filter((lease) => lease.entry.leaseId === undefined && fits(lease));
    const leasing = hosts
      .filter((host) => !fits(host) && addressInside(host, ranges) === undefined)
      .filter((host) => !reserved.some((lease) => isReservedFor(lease, host, cluster)));
    const taken = all
      .filter((lease) => fits(lease) || !hosts.includes(lease))
      .flatMap(({ subnets }) => subnets)
      .concat(cluster.leases.namedByRejected());
    const free = freeSubnets(range, taken, leasing.length).length;
    const none = leasing.length - free;
    return none === 0
      ? []
      : [
          `${hostsText(leasing.length, 'has', 'have')} to lease a subnet of ${range.network}, and ${free} are free: ` +
            `${hostsText(none, 'goes', 'go')} on by the network config before, and may lose the others`,
        ];
  });
}

function isReservedFor(lease: StoredLease, host: StoredLease, { nodes, reservations }: Cluster): boolean {
  const reservation = reservations.get(leaseName(lease.subnets));
  const node = nodes.holderOf(host);
  if (reservation === undefined) return isOwn(lease.attributes, host.attributes);
  return node !== undefined && isFor(reservation, node.nodeId, node.hostName);
}

function networkLines(before: readonly SubnetRange[], after: readonly SubnetRange[]): string[] {
  const added = after.filter(
    ({ network }) => !before.some((other) => other.network.family === network.family),
  );
  const changed = before.flatMap((range) => {
    const next = after.find(({ network }) => network.family === range.network.family);
    const isSame = next !== undefined && rangeText(next) === rangeText(range);
    return next === undefined || isSame ? [] : [`${rangeText(range)} → ${rangeText(next)}`];
  });
  const isKept = added.length < after.length;
  const removed = before.filter(({ network }) => !after.some((one) => one.network.family === network.family));
  return [
    ...changed,
    ...added.flatMap(({ network }) => [
      `${network} is added: every host that has an IPv${network.family} address leases a subnet of it ` +
        `${isKept ? 'beside' : 'in place of'} the one it has; containers get addresses of it when they are restarted`,
      `a host without an IPv${network.family} address goes on by the network config before` +
        `${isKept ? ', and says so' : ', whether --force is given or not, and loses the others'}`,
    ]),
    ...removed.map(({ network }) => `${network} is given up`),
  ];
}

function rangeText({ network, subnetLen, subnetMin, subnetMax }: SubnetRange): string {
  return `${network} (subnets of /${subnetLen} from ${subnetMin} to ${subnetMax})`;
}

function reservationLines(cluster: Cluster, ranges: readonly SubnetRange[]): string[] {
  return cluster.leases
    .leases()
    .filter((lease) => lease.entry.leaseId === undefined && !isHosts(lease, cluster))
    .filter(({ subnets }) => !subnets.every((subnet) => ranges.some((range) => fitsRange(range, subnet))))
    .map(
      ({ subnets }) =>
        `the reservation of ${subnets.join(', ')} does not fit any more, and nobody will get it: ` +
        `corduroy leases release ${subnets.join(' ')}`,
    );
}

function flanneldLines(hosts: readonly StoredLease[], cluster: Cluster): string[] {
  const foreign = hosts.filter((lease) => cluster.nodes.holderOf(lease) === undefined);
  if (foreign.length === 0) return [];
  const names = foreign.map((lease) => nameOf(lease, cluster)).join(', ');
  return [
    `${hostsText(foreign.length, 'runs', 'run')} flanneld, which reads the network config only when it starts: restart it ` +
      `there by hand: ${names}`,
  ];
}

function hostsText(count: number, one: string, many: string): string {
  return count === 1 ? `1 host ${one}` : `${count} hosts ${many}`;
}
