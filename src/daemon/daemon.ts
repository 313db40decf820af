import type { Backend, BackendContext, BackendInput, DatapathState } from '../backend/backend.ts';
import { subnetsIn } from '../bridge/subnet-env.ts';
import { etcdPrefix } from '../config/etcd.ts';
import type { FlagValues } from '../config/flags.ts';
import type { SubnetRange } from '../config/network-config.ts';
import type { Options } from '../config/options.ts';
import { type Datapath, ENGINES } from '../datapath/datapath.ts';
import { CorduroyError, isCode, messageOf } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import type { ExternalInterface } from '../host/state.ts';
import type { RandomInt } from '../ipam/pick-subnet.ts';
import { fitsRanges } from '../lease/decide.ts';
import { type HeldLease, LeaseKeeper } from '../lease/lease-keeper.ts';
import type { RejectedLease, StoredLease } from '../lease/lease-table.ts';
import { selectPeers } from '../lease/peers.ts';
import { LastingProblem, type Log } from '../observe/log.ts';
import { printable } from '../printable.ts';
import type { Store } from '../store/store.ts';
import { VERSION } from '../version.ts';
import { DatapathKeeper, type LaunchDatapath } from './datapath-keeper.ts';
import type { HostKeeper, HostWish } from './host-keeper.ts';
import { NetworkView, type UsableConfig } from './network-view.ts';
import { Wake } from './wake.ts';

/** What the daemon takes from outside, so that the entry point wires it and tests can hold it. */
export interface DaemonParts {
  readonly options: Options;
  readonly store: Store;
  readonly log: Log;
  readonly random: RandomInt;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly host: HostKeeper;
  /** Rejects with `no-interface`. */
  readonly chooseInterface: () => Promise<ExternalInterface>;
  readonly connectDatapath: () => Promise<Datapath>;
  readonly launchDatapath: LaunchDatapath;
}

/** The parts of a round, and of what can be wrong. */
type Part =
  | 'etcd'
  | 'config'
  | 'interface'
  | 'lease'
  | 'host'
  | 'firewall'
  | 'data plane'
  | 'subnet file'
  | 'forwarding';

/** Milliseconds between rounds while something is missing; whatever etcd says starts one at once. */
const RETRY_AFTER = 1000;
/** As above, where the host stands and the data plane is missing: packets wait for it, and a look costs little. */
const RETRY_DATAPATH = 250;
const RETRY_OUT_OF_SUBNETS = 10_000;
/** Milliseconds between looks whether something that still holds should be said again. */
const REMIND_EVERY = 60_000;

/**
 * The control plane. One loop, woken by every change: it reads what etcd says, holds a lease, computes what the host
 * and the data plane should hold, and brings that about. Every round starts from what is there, so that a round that
 * failed half-way, a restart, and a hand that interfered are all mended in the same way.
 */
export class Daemon {
  readonly view: NetworkView;
  readonly leases: LeaseKeeper;
  readonly datapath: DatapathKeeper;
  interface: ExternalInterface | undefined;
  config: UsableConfig | undefined;
  backend: Backend | undefined;
  peers: readonly StoredLease[] = [];
  rejected: readonly RejectedLease[] = [];

  readonly #parts: DaemonParts;
  readonly #wake = new Wake();
  /** What is wrong now, by the part of a round that it stops; nothing stops the other parts. */
  readonly #problems: Readonly<Record<Part, LastingProblem>>;
  #saidKeys: ReadonlyMap<string, string> = new Map();
  #saidUnknownKeys = '';
  #stopped = false;
  /** Whether the last round brought everything about. */
  #settled = false;
  #current: Promise<unknown> = Promise.resolve();

  constructor(parts: DaemonParts) {
    const { options, log, now } = parts;
    const { flags, subnetFile } = options;
    const prefix = etcdPrefix(flags);
    this.#parts = parts;
    this.view = new NetworkView(prefix);
    const none = () => new LastingProblem(log, now);
    this.#problems = {
      etcd: none(),
      config: none(),
      interface: none(),
      lease: none(),
      host: none(),
      firewall: none(),
      'data plane': none(),
      'subnet file': none(),
      forwarding: none(),
    };
    this.leases = new LeaseKeeper(
      { ...parts, prefix, ttl: flags['lease-ttl'], renewMargin: flags['subnet-lease-renew-margin'] * 60 },
      subnetsIn(readIfThere(subnetFile) ?? ''),
    );
    this.datapath = new DatapathKeeper({
      connect: parts.connectDatapath,
      launch: parts.launchDatapath,
      build: VERSION,
      onGone: () => {
        this.#parts.host.distrust();
        this.#wake.now();
      },
      log,
      now,
    });
  }

  /**
   * Runs until the signal aborts. The data plane, routes and files stay as they are.
   * @throws whatever ends the watch but the signal: a defect
   */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake.now());
    const watching = this.#watch(signal);
    await Promise.race([this.#rounds(signal), watching]);
    await watching;
    this.datapath.release();
  }

  async #rounds(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const round = this.#stopped ? Promise.resolve(Number.POSITIVE_INFINITY) : this.#round();
      this.#current = round;
      const pause = Math.min(await round, REMIND_EVERY);
      for (const problem of Object.values(this.#problems)) problem.remind();
      if (!signal.aborted) await this.#wake.wait(pause);
    }
  }

  /** Ends the rounds; with `release`, gives the lease back first, so that the other hosts drop their routes. */
  async stop(release: boolean): Promise<void> {
    this.#stopped = true;
    try {
      await this.#current;
      if (release) await this.leases.release();
    } catch (error) {
      this.#stopped = false;
      this.#wake.now();
      throw error;
    }
  }

  /** Containers can be connected: the last round brought everything about, and the data plane runs. */
  get ready(): boolean {
    return this.#settled && this.datapath.isRunning;
  }

  /** What is wrong now, a sentence each. */
  get problems(): string[] {
    const moved = this.leases.moved === undefined ? [] : [this.leases.moved];
    const raised = [...Object.values(this.#problems).flatMap(({ current }) => current ?? []), ...moved];
    if (raised.length > 0 || this.ready) return raised;
    return this.view.complete ? ['setting up'] : ['starting: etcd has not answered yet'];
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { store, options } = this.#parts;
    for await (const event of store.watch(`${etcdPrefix(options.flags)}/`, signal)) {
      const before = this.view.revision;
      this.view.apply(event);
      if (event.kind === 'interrupted') {
        this.#problems.etcd.raise(`${event.error.message}. Trying again`);
      } else {
        this.#problems.etcd.clear('etcd answers again');
        // Revisions only grow, unless etcd was restored from a backup: then what is held proves nothing.
        if (event.revision < before) this.leases.doubt();
        this.leases.observe(this.view.leases, this.view.revision);
      }
      this.#wake.now();
    }
  }

  /** One round. @returns milliseconds until the next one is due at the latest */
  async #round(): Promise<number> {
    const config = this.#currentConfig();
    if (config === undefined) return Number.POSITIVE_INFINITY;
    const { host, now } = this.#parts;
    try {
      const settled = await this.#converge(config);
      if (settled && !this.#settled) this.#sayReady();
      this.#settled = settled;
      return settled ? Math.min(this.leases.dueAt, host.resyncAt) - now() : this.#retryAfter();
    } catch (error) {
      this.#settled = false;
      return isCode(error, 'out-of-subnets') ? RETRY_OUT_OF_SUBNETS : RETRY_AFTER;
    }
  }

  #retryAfter(): number {
    const { host, firewall, 'data plane': datapath } = this.#problems;
    const hostStands = host.current === undefined && firewall.current === undefined;
    return hostStands && datapath.current !== undefined ? RETRY_DATAPATH : RETRY_AFTER;
  }

  /** Runs one part of a round. What it throws becomes the part's problem, and is thrown on. */
  async #part<T>(name: Part, work: () => T | Promise<T>): Promise<T> {
    const problem = this.#problems[name];
    try {
      const result = await work();
      problem.clear(`${name}: all is as it should be again`);
      return result;
    } catch (error) {
      if (!(error instanceof CorduroyError) && problem.current === undefined) {
        this.#parts.log.error('a defect in corduroyd', { err: error });
      }
      problem.raise(messageOf(error), error instanceof CorduroyError ? `${name} ${error.code}` : name);
      throw error;
    }
  }

  /** The network config to go by: the newest that can be used, or the one in use. */
  #currentConfig(): UsableConfig | undefined {
    if (!this.view.complete) return undefined;
    const { usable, objection, unknownKeys } = this.view.config;
    const unknown = unknownKeys.join(', ');
    if (unknown !== '' && unknown !== this.#saidUnknownKeys) {
      this.#parts.log.warn(`the network config has keys that mean nothing here and are ignored: ${unknown}`);
    }
    this.#saidUnknownKeys = unknown;
    if (usable === undefined) {
      const going = this.config === undefined ? '. Waiting for it' : '. Going on with the one before';
      this.#problems.config.raise(`${objection}${going}`);
      return this.config;
    }
    const { subnets } = this.leases;
    const fitted = this.config !== undefined && fitsRanges(subnets, this.config.network.ranges);
    if (fitted && !fitsRanges(subnets, usable.network.ranges)) {
      this.#problems.config.raise(
        `the network config has changed, and this host's subnet ${subnets.join(' and ')} does not fit it. Going on with the one ` +
          'before; to lease another subnet, restart corduroyd, and then the containers',
      );
      return this.config;
    }
    this.#problems.config.clear('the network config is valid now');
    return usable;
  }

  /** @returns whether everything was brought about; throws where nothing could be done without a lease */
  async #converge(config: UsableConfig): Promise<boolean> {
    const { ranges } = config.network;
    const iface = await this.#part('interface', () => this.#ensureInterface(ranges));
    if (config !== this.config || this.backend === undefined) {
      const { names, flags } = this.#parts.options;
      this.backend = config.createBackend({ iface, tun: names.tun, datapath: datapathWishes(flags) });
      this.config = config;
      for (const warning of this.backend.warnings) this.#parts.log.warn(warning);
    }
    const { backend } = this;
    const held = await this.#ensureLease(config, backend);
    // What came while etcd was asked.
    this.leases.observe(this.view.leases, this.view.revision);
    if (this.leases.held !== held) {
      this.#wake.now();
      return false;
    }
    const { subnets } = held;
    const self = { key: held.key, subnets, publicIps: [iface.address, iface.publicIp] };
    const { peers, rejected } = selectPeers(this.view.leases, ranges, self);
    this.peers = peers;
    this.#sayRejected(rejected);
    return this.#apply(backend, { ranges, subnets, peers });
  }

  /** The parts are independent: a firewall that cannot be set must not keep routes from the data plane. */
  async #apply(backend: Backend, input: BackendInput): Promise<boolean> {
    const { host, options } = this.#parts;
    const { ranges, subnets } = input;
    const desired = backend.desired(input);
    const networks = ranges.map(({ network }) => network);
    const wish: HostWish = { host: desired.host, networks, subnets, mtu: backend.mtu };
    const families = networks.flatMap((network, index) => {
      const subnet = subnets[index];
      return subnet === undefined ? [] : [{ network, subnet }];
    });
    const ipMasq = options.flags['ip-masq'];
    const isDone = (part: Promise<unknown>) =>
      part.then(
        () => true,
        () => false,
      );
    const isDue = host.isDue(wish);
    const linksDone = !isDue || (await isDone(this.#part('host', () => host.ensureLinks(wish))));
    const { datapath } = desired;
    const [firewallDone, datapathDone] = await Promise.all([
      !isDue || isDone(this.#part('firewall', () => host.ensureFirewall(wish))),
      datapath === undefined || isDone(this.#part('data plane', () => this.#ensureDatapath(datapath))),
    ]);
    if (isDue) host.settle(wish, linksDone && firewallDone);
    const subnetFile = () => host.writeSubnetFile({ families, mtu: backend.mtu, ipMasq });
    const fileDone = await isDone(this.#part('subnet file', subnetFile));
    if (ipMasq) this.#checkForwarding();
    return linksDone && firewallDone && datapathDone && fileDone;
  }

  async #ensureDatapath(state: DatapathState): Promise<void> {
    await this.datapath.ensure(state);
    const enginePid = this.datapath.engine?.hello.pid;
    if (enginePid !== undefined) this.#parts.host.remember({ enginePid });
  }

  /** Answers from outside come in by an interface that is not Corduroy's to change. */
  #checkForwarding(): void {
    const name = this.interface?.name ?? '';
    const { forwarding } = this.#problems;
    if (this.#parts.host.isForwarding(name)) forwarding.clear();
    else
      forwarding.raise(
        `--ip-masq needs forwarding on ${name}, or no answer from outside reaches a container: sysctl -w net.ipv4.ip_forward=1`,
      );
  }

  async #ensureInterface(ranges: readonly SubnetRange[]): Promise<ExternalInterface> {
    const { log, chooseInterface } = this.#parts;
    const chosen = this.interface ?? (await chooseInterface());
    const { name, address, publicIp, mtu, why } = chosen;
    // Packets to this host would be led into the tunnel that they are to carry.
    const inside = ranges.find(({ network }) => network.contains(address) || network.contains(publicIp));
    if (inside !== undefined) {
      const text = `this host's address ${address} lies inside the network ${inside.network}`;
      throw new CorduroyError('no-interface', `${text}: choose another --iface, or another Network`);
    }
    if (this.interface === undefined) {
      const published = publicIp.equals(address) ? '' : `, published as ${publicIp}`;
      log.info(`using interface ${name} (${address}${published}, MTU ${mtu}): ${why}`);
    }
    this.interface = chosen;
    return chosen;
  }

  /** Whatever etcd says or does not say, a lease that is held goes on. */
  async #ensureLease({ network, revision }: UsableConfig, { attributes }: Backend): Promise<HeldLease> {
    const { ranges } = network;
    const wanted = { ranges, configKey: this.view.configKey, configRevision: revision, attributes };
    try {
      return await this.#part('lease', () => this.leases.ensure(wanted));
    } catch (error) {
      const { held } = this.leases;
      if (held === undefined) throw error;
      return held;
    }
  }

  #sayReady(): void {
    this.#parts.log.info(`ready: ${this.leases.subnets.join(' and ')}, peers: ${this.peers.length}`);
  }

  /** Every key that is not used is named once, and again when the reason changes. */
  #sayRejected(rejected: readonly RejectedLease[]): void {
    this.rejected = rejected;
    const reasons = new Map(rejected.map(({ entry, reason }) => [entry.key, reason]));
    for (const [key, reason] of reasons) {
      if (this.#saidKeys.get(key) !== reason)
        this.#parts.log.warn(`ignoring ${printable(key)} in etcd: ${reason}`);
    }
    this.#saidKeys = reasons;
  }
}

function datapathWishes(flags: FlagValues): BackendContext['datapath'] {
  return {
    engine: ENGINES.find((name) => name === flags['datapath-engine']),
    offload: flags['datapath-offload'],
    queues: flags['datapath-queues'],
  };
}
