import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { bridgeState } from '../bridge/managed-bridge.ts';
import { formatSubnetEnv, type SubnetEnv } from '../bridge/subnet-env.ts';
import { ROUTE_PROTOCOL, RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { BridgePorts } from '../host/bridge-ports.ts';
import { Firewall, type FirewallState } from '../host/firewall.ts';
import type { Hint } from '../host/hints.ts';
import type { Ownership } from '../host/plan.ts';
import { reconcileHost } from '../host/reconcile.ts';
import { formatRoute, type HostState, type RouteState, routeDestination } from '../host/state.ts';
import { Prefix } from '../net/prefix.ts';
import type { Log } from '../observe/log.ts';
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

/** Keeps links, routes, sysctls, firewall and subnet.env of this host right, and a record of what it has put there. */
export class HostKeeper {
  readonly #options: Options;
  readonly #log: Log;
  readonly #own: Omit<Ownership, 'blackholes'>;
  readonly #firewall: Firewall;
  readonly #ports: BridgePorts;
  readonly #recordFile: string;
  readonly #sees: (hint: Part) => boolean;
  readonly #trust: Readonly<Record<Part, Trust>>;
  #record: HostRecord;
  #destinations: ReadonlySet<string> = new Set();

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
    this.#own = { mark: names.linkMark, tun: names.devices.tun, protocol: ROUTE_PROTOCOL };
    mkdirSync(runDir, { recursive: true, mode: 0o755 });
    this.#recordFile = join(runDir, RUN_FILES.state);
    const { record, problem } = readHostRecord(this.#recordFile);
    if (problem !== undefined) log.warn(problem);
    this.#record = record;
    this.#firewall = new Firewall({ table: names.nftTable, chain: names.iptablesChain }, record.firewall);
  }

  /** When a part of the host is to be compared again, monotonic milliseconds. */
  get resyncAt(): number {
    return Math.min(...PARTS.map((part) => this.#trust[part].lookedAt + this.#maxAge(part)));
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
    return this.#sees(part) ? longest : Math.min(longest, RESYNC_UNSEEN);
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
    this.#destinations = new Set(host.routes.map(routeDestination));
    const blackholes = host.routes.filter(({ type }) => type === 'blackhole').map(formatRoute);
    // On record before they are added, and off it only when they are gone.
    const owned = [...new Set([...this.#record.blackholes, ...blackholes])];
    this.remember({ blackholes: owned });
    const changes = await reconcileHost(host, { ...this.#own, blackholes: owned }, (found) =>
      this.#ports.look(found),
    );
    this.remember({ blackholes });
    if (changes.length > 0) this.#log.info(`host set up: ${changes.join('; ')}`);
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

  /** Whether the kernel forwards what comes in by an interface. */
  isForwarding(name: string): boolean {
    return readIfThere(`/proc/sys/net/ipv4/conf/${name}/forwarding`)?.trim() === '1';
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
    await this.#ensure('firewall', wish, () => this.#setFirewall(wish));
  }

  async #setFirewall({ networks, subnets }: HostWish): Promise<void> {
    const { flags, names } = this.#options;
    const network = networks.find(({ family }) => family === 4);
    const subnet = subnets.find(({ family }) => family === 4);
    if (network === undefined || subnet === undefined) return;
    const state: FirewallState = {
      network,
      subnet,
      device: names.devices.tun,
      exclude: flags['ip-masq-exclude'].map(Prefix.parse),
      forward: flags['iptables-forward-rules'],
      masquerade: !flags['ip-masq'] ? 'off' : flags['ip-masq-fully-random-disable'] ? 'on' : 'fully-random',
    };
    if (!(await this.#firewall.ensure(state, (firewall) => this.remember({ firewall })))) return;
    const forwarding = state.forward ? 'accepted' : 'left alone';
    this.#log.info(
      `firewall set: forwarding from and to ${network} ${forwarding}, masquerading ${state.masquerade}`,
    );
  }
}

function textOf(part: Part, { host, networks, subnets, mtu }: HostWish): string {
  return JSON.stringify(part === 'host' ? [host, subnets, mtu] : [networks, subnets]);
}
