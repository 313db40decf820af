import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { bridgeState } from '../bridge/managed-bridge.ts';
import { formatSubnetEnv, type SubnetEnv } from '../bridge/subnet-env.ts';
import { RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { BridgePorts } from '../host/bridge-ports.ts';
import { enumerate } from '../host/enumerate.ts';
import type { Hint } from '../host/hints.ts';
import { forwardsIpv6, ipv6ForwardingCommand } from '../host/ipv6-forwarding.ts';
import { lacksEthtool } from '../host/plan-vxlan.ts';
import { reconcileHost } from '../host/reconcile.ts';
import {
  type HostState,
  type LinkState,
  type ObservedHost,
  type RouteState,
  routeDestination,
} from '../host/state.ts';
import { type WireguardCarrier, WireguardDevices } from '../host/wireguard.ts';
import type { Family } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Log } from '../observe/log.ts';
import { FirewallKeeper, waysOf } from './firewall-keeper.ts';
import { ownershipOf } from './ownership.ts';
import { type HostRecord, readHostRecord, removeIfOwn, writeHostRecord } from './state-file.ts';
import { Trust } from './trust.ts';

/** Metric of the blackhole route: any real route to the subnet is better. */
const BLACKHOLE_METRIC = 4_278_198_272;
/** Milliseconds between comparisons where nothing tells of changes. */
const RESYNC_UNSEEN = 5000;
/** What comes due this soon after something else is compared along with it: one round, not two. */
const DUE_EARLY = 0.9;

/** What the kernel should hold on this host, beyond what the backend asks for. */
export interface HostWish {
  /** From the backend. */
  readonly host: HostState;
  readonly networks: readonly Prefix[];
  /** This host's, in the order of the networks. */
  readonly subnets: readonly Prefix[];
  readonly mtu: number;
  /** Name of the interface that traffic between hosts goes by. */
  readonly underlay: string;
}

/** What is compared by itself. */
const PARTS = ['host', 'firewall'] as const satisfies readonly Hint[];
type Part = (typeof PARTS)[number];

/** Nothing tells when the peers of these are changed. */
const UNSEEN: readonly LinkState['kind'][] = ['wireguard'];

/** Keeps links, routes, sysctls, firewall and subnet.env of this host right, and a record of what it has put there. */
export class HostKeeper {
  readonly #options: Options;
  readonly #log: Log;
  readonly #firewall: FirewallKeeper;
  readonly #ports: BridgePorts;
  readonly #wireguard: WireguardDevices;
  readonly #recordFile: string;
  readonly #sees: (hint: Part) => boolean;
  readonly #trust: Readonly<Record<Part, Trust>>;
  #record: HostRecord;
  #destinations: ReadonlySet<string> = new Set();
  #links: readonly LinkState[] = [];
  #devices: ReadonlySet<string> = new Set();
  /** VXLAN devices that ethtool was missed for. */
  readonly #warned = new Set<string>();

  /**
   * @param now monotonic milliseconds
   * @param sees whether a change would be hinted at with `distrust`
   * @param ports of the bridge of --bridge
   */
  constructor(
    options: Options,
    log: Log,
    now: () => number,
    sees: (hint: Part) => boolean = () => false,
    ports: BridgePorts = new BridgePorts(options.flags.bridge),
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#log = log;
    this.#sees = sees;
    this.#trust = { host: new Trust(now), firewall: new Trust(now) };
    const { names, runDir } = options;
    this.#wireguard = new WireguardDevices({ asService: options.flags['datapath-unit'] !== undefined });
    mkdirSync(runDir, { recursive: true, mode: 0o755 });
    this.#recordFile = join(runDir, RUN_FILES.state);
    const { record, problem } = readHostRecord(this.#recordFile);
    if (problem !== undefined) log.warn(problem);
    this.#record = record;
    const remember = (part: Partial<HostRecord>) => this.remember(part);
    this.#firewall = new FirewallKeeper({ flags: options.flags, names, record, remember, log });
  }

  /** When a part of the host is to be compared again, monotonic milliseconds. */
  get resyncAt(): number {
    return Math.min(...PARTS.map((part) => this.#trust[part].lookedAt + this.#maxAge(part)));
  }

  /** The names of the devices that were last wished for, without the bridge. */
  get devices(): ReadonlySet<string> {
    return this.#devices;
  }

  /** What carries the packets of this host's WireGuard devices; absent: there are none. */
  get wireguard(): WireguardCarrier | undefined {
    return this.#wireguard.carrier;
  }

  /** The destinations of the routes that were last wished for, as ip writes them. */
  get destinations(): ReadonlySet<string> {
    return this.#destinations;
  }

  /** The next `ensure…` of the part, or of all parts, looks at the host whatever the time. */
  distrust(part?: Part): void {
    for (const one of part === undefined ? PARTS : [part]) this.#trust[one].doubt();
  }

  #isTrusted(part: Part, wish: HostWish): boolean {
    return this.#trust[part].holds(textOf(part, wish), this.#maxAge(part) * DUE_EARLY);
  }

  #maxAge(part: Part): number {
    const longest = this.#options.flags['iptables-resync'] * 1000;
    const isSeen =
      this.#sees(part) && !(part === 'host' && this.#links.some(({ kind }) => UNSEEN.includes(kind)));
    return isSeen ? longest : Math.min(longest, RESYNC_UNSEEN);
  }

  async #ensure(part: Part, wish: HostWish, bringAbout: () => Promise<void>): Promise<void> {
    if (!this.#isTrusted(part, wish)) await this.#trust[part].renew(textOf(part, wish), bringAbout);
  }

  /** Links, addresses, routes, sysctls: changes what differs. */
  async ensureLinks(wish: HostWish): Promise<void> {
    await this.#ensure('host', wish, () => this.#reconcile(wish));
  }

  async #reconcile(wish: HostWish): Promise<void> {
    const host = this.#complete(wish);
    this.#links = host.links;
    this.#devices = new Set(host.links.filter(({ kind }) => kind !== 'bridge').map(({ name }) => name));
    this.#destinations = new Set(host.routes.map(routeDestination));
    // On record before routes to them are added, and off it only when those are gone.
    const before = this.#record.networks.filter((one) => !wish.networks.some((now) => now.equals(one)));
    const networks = [...wish.networks, ...before];
    this.remember({ networks });
    const own = ownershipOf(this.#options.names, networks);
    const changes = await reconcileHost(host, own, this.#wireguard, (found) => {
      this.#ports.look(found);
      this.#warnOfChecksums(host, found);
    });
    this.remember({ networks: [...wish.networks] });
    if (changes.length > 0) this.#log.info(`host set up: ${enumerate(changes)}`);
  }

  /** Once for a device: all else goes on without it. */
  #warnOfChecksums({ links }: HostState, { vxlans }: ObservedHost): void {
    for (const link of links) {
      if (link.kind !== 'vxlan' || this.#warned.has(link.name)) continue;
      if (!lacksEthtool(link, vxlans.get(link.name))) continue;
      this.#warned.add(link.name);
      this.#log.warn(
        `${link.name} may send masqueraded packets with wrong outer checksums, as Linux does before 5.7: Backend.TxChecksum ` +
          '"auto" switches that off by ethtool, which this host lacks (apt-get install ethtool). "on" says that this ' +
          'kernel is mended',
      );
    }
  }

  writeSubnetFile(content: SubnetEnv): void {
    const path = this.#options.subnetFile;
    const text = formatSubnetEnv(content);
    const { written, created } = writeAtomically(path, text, 0o644);
    if (!written && this.#record.subnetFile?.path === path) return;
    const before = this.#record.subnetFile;
    if (before !== undefined && before.path !== path) removeIfOwn(before);
    const folders = [...this.#record.folders, ...(created ? [created] : [])];
    this.remember({ subnetFile: { path, content: text }, folders });
    this.#log.info(`wrote ${path}: ${text.trim().replaceAll('\n', ' ')}`);
  }

  /** What makes the kernel forward what comes in by an interface; `undefined` where it does. */
  forwardingCommand(name: string, families: readonly Family[]): string | undefined {
    if (families.includes(4) && readIfThere(`/proc/sys/net/ipv4/conf/${name}/forwarding`)?.trim() !== '1')
      return 'sysctl -w net.ipv4.ip_forward=1';
    return families.includes(6) && !forwardsIpv6(name) ? ipv6ForwardingCommand(name) : undefined;
  }

  remember(part: Partial<HostRecord>): void {
    this.#record = { ...this.#record, ...part };
    writeHostRecord(this.#recordFile, this.#record);
  }

  #complete({ host, subnets, mtu }: HostWish): HostState {
    const { flags } = this.#options;
    const bridge =
      flags.bridge === undefined ? undefined : bridgeState(flags.bridge, subnets, mtu, this.#ports.known);
    const blackholes = flags['ip-blackhole-route']
      ? subnets.map((prefix): RouteState => ({ type: 'blackhole', prefix, metric: BLACKHOLE_METRIC }))
      : [];
    return {
      links: [...host.links, ...(bridge?.links ?? [])],
      routes: [...host.routes, ...blackholes],
      sysctls: [...host.sysctls, ...(bridge?.sysctls ?? [])],
    };
  }

  /** Forward rules and masquerading. */
  async ensureFirewall(wish: HostWish): Promise<void> {
    await this.#ensure('firewall', wish, () => this.#firewall.ensure(wish));
  }
}

function textOf(part: Part, wish: HostWish): string {
  const { host, networks, subnets, mtu } = wish;
  return JSON.stringify(part === 'host' ? [host, networks, subnets, mtu] : [networks, subnets, waysOf(wish)]);
}
