import { join } from 'node:path';
import { subnetsIn } from '../bridge/subnet-env.ts';
import { etcdPrefix } from '../config/etcd.ts';
import { STATE_FILES } from '../config/names.ts';
import { familiesOf } from '../config/network-config.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import type { Hint } from '../host/hints.ts';
import { type ExternalInterface, outerAddresses } from '../host/state.ts';
import type { Machine, Wanted } from '../lease/acquire.ts';
import { LeaseKeeper } from '../lease/lease-keeper.ts';
import { leaseKey } from '../lease/lease-record.ts';
import type { StoredLease } from '../lease/lease-table.ts';
import { selectPeers } from '../lease/peers.ts';
import { VERSION } from '../version.ts';
import { BackendKeeper } from './backend-keeper.ts';
import { ConfigChoice } from './config-choice.ts';
import { ConfigKeeper } from './config-keeper.ts';
import type { DaemonParts } from './daemon-parts.ts';
import { DatapathKeeper } from './datapath-keeper.ts';
import { Effects, type Outcome } from './effects.ts';
import { type Following, followEtcd } from './follow-etcd.ts';
import type { HostKeeper } from './host-keeper.ts';
import { InterfaceKeeper, isInside, requireOutside, sameAddresses } from './interface-keeper.ts';
import { LeaseMinder, leaseProblem, RETRY_OUT_OF_SUBNETS, wantedLease } from './lease-minder.ts';
import { MemoryKeeper } from './memory-keeper.ts';
import { NetworkView, type UsableConfig } from './network-view.ts';
import { Problems } from './problems.ts';
import { Recall } from './recall.ts';
import { RejectedKeys } from './rejected-keys.ts';
import { Wake } from './wake.ts';

/** Milliseconds between rounds while something is missing; whatever etcd says starts one at once. */
const RETRY_AFTER = 1000;
/** As above, where the host stands and the data plane is missing: packets wait for it, and a look costs little. */
const RETRY_DATAPATH = 250;
/** Milliseconds between looks whether something that still holds should be said again. */
const REMIND_EVERY = 60_000;
/** Milliseconds between looks at a sysctl that is not Corduroy's to set, while it is wrong. */
const RECHECK_FORWARDING = 5000;
/** Milliseconds that etcd has for its first answer before what was remembered is used; sooner when it is known to be away. */
const MEMORY_AFTER = 2000;

/**
 * The control plane. One loop, woken by every change: it reads what etcd says, computes what the host and the data plane
 * should hold, and brings that about. Every round starts from what is there, so that a round that failed half-way, a
 * restart, and a hand that interfered are all mended in the same way. The lease is looked after beside the rounds once a
 * subnet is in use: an etcd that does not answer keeps no repair waiting.
 */
export class Daemon {
  readonly machine: Machine;
  readonly view: NetworkView;
  readonly leases: LeaseKeeper;
  readonly datapath: DatapathKeeper;
  readonly interfaces: InterfaceKeeper;
  readonly backends: BackendKeeper;
  peers: readonly StoredLease[] = [];
  readonly rejected: RejectedKeys;

  readonly #parts: DaemonParts;
  readonly #prefix: string;
  readonly #wake = new Wake();
  readonly #problems: Problems;
  readonly #choice: ConfigChoice;
  readonly #configs: ConfigKeeper;
  readonly #memory: MemoryKeeper;
  readonly #recall: Recall;
  readonly #minder: LeaseMinder;
  readonly #effects: Effects;
  readonly #startedAt: number;
  #progressAt: number;
  #stopped = false;
  /** Whether the last round brought about what containers need to be connected. */
  #stands = false;
  #current: Promise<unknown> = Promise.resolve();

  constructor(parts: DaemonParts) {
    const { options, machine, log, now } = parts;
    const { flags, subnetFile, stateDir } = options;
    const prefix = etcdPrefix(flags);
    this.#parts = parts;
    this.#prefix = prefix;
    this.machine = machine;
    this.#startedAt = now();
    this.#progressAt = this.#startedAt;
    this.view = new NetworkView(prefix);
    this.#problems = new Problems(log, now);
    this.rejected = new RejectedKeys(log);
    this.backends = new BackendKeeper({
      wireguardKeys: parts.wireguardKeys,
      runStart: (command) => parts.commands.start(command),
      now,
      log,
    });
    this.#choice = new ConfigChoice(this.#problems.of('config'), log);
    this.interfaces = new InterfaceKeeper(parts.chooseInterface, log);
    this.leases = new LeaseKeeper(
      { ...parts, prefix, ttl: flags['lease-ttl'], renewMargin: flags['subnet-lease-renew-margin'] * 60 },
      { subnets: subnetsIn(readIfThere(subnetFile) ?? ''), inUse: false },
    );
    const { leases, backends } = this;
    const { nodeId } = machine;
    this.#configs = new ConfigKeeper({ options, nodeId, leases, backends, problems: this.#problems, log });
    this.#minder = new LeaseMinder({
      leases,
      view: this.view,
      nodeId,
      problems: this.#problems,
      now,
      wake: () => this.#wake.now(),
    });
    this.#memory = new MemoryKeeper({
      path: join(stateDir, STATE_FILES.network),
      nodeId: machine.nodeId,
      prefix,
      problem: this.#problems.of('memory'),
      log,
    });
    this.#recall = new Recall({
      memory: this.#memory,
      view: this.view,
      leases: this.leases,
      nodeId: machine.nodeId,
      log,
    });
    this.datapath = new DatapathKeeper({
      connect: parts.connectDatapath,
      launch: parts.launchDatapath,
      isLaunchedFor: parts.isLaunchedFor,
      build: VERSION,
      onGone: () => this.hint('host'),
      log,
      now,
    });
    this.#effects = new Effects(parts, this.#problems, this.datapath);
  }

  /**
   * Runs until the signal aborts. The data plane, routes and files stay as they are.
   * @throws whatever ends the watch but the signal: a defect
   */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake.now());
    const watching = followEtcd(this.#following(), signal);
    const rounds = this.#rounds(signal);
    await Promise.race([rounds, watching]);
    await watching;
    await rounds;
    this.datapath.release();
    await this.#memory.close();
  }

  /** Something on the host was changed, perhaps by this daemon itself: it is compared soon. */
  hint(hint: Hint): void {
    if (hint === 'interface') this.interfaces.distrust();
    // With an address or a link the kernel drops the routes that depend on it, and tells of none.
    this.#parts.host.distrust(hint === 'interface' ? 'host' : hint);
    this.#wake.now();
  }

  #following(): Following {
    const { store, sleep, log, onChange } = this.#parts;
    return {
      store,
      prefix: this.#prefix,
      view: this.view,
      leases: this.leases,
      problem: this.#problems.of('etcd'),
      sleep,
      log,
      onEvent: () => {
        this.#wake.now();
        onChange?.();
      },
    };
  }

  async #rounds(signal: AbortSignal): Promise<void> {
    const { now, onChange } = this.#parts;
    while (!signal.aborted) {
      this.#progressAt = now();
      const round = this.#stopped ? Promise.resolve(Number.POSITIVE_INFINITY) : this.#round();
      this.#current = round;
      const pause = Math.min(await round, REMIND_EVERY);
      this.#progressAt = now();
      this.#problems.remind();
      onChange?.();
      if (!signal.aborted) await this.#wake.wait(pause);
    }
  }

  /** Ends the rounds; with `release`, gives the lease back first, so that the other hosts drop their routes. */
  async stop(release: boolean): Promise<void> {
    this.#stopped = true;
    try {
      await this.#current;
      await this.#minder.idle();
      if (release) await this.leases.release();
    } catch (error) {
      this.#stopped = false;
      this.#wake.now();
      throw error;
    }
  }

  /** The network config that the host goes by. */
  get config(): UsableConfig | undefined {
    return this.#configs.current;
  }

  /**
   * Containers can be connected: the last round saw to links, routes and subnet.env, and the data plane runs. A firewall
   * that cannot be set is a problem, and nothing that others have to wait for: it may last until somebody mends it.
   */
  get ready(): boolean {
    return this.#stands && (this.datapath.isRunning || !this.needsEngine);
  }

  /** What carries the packets of this host's WireGuard devices; absent: there are none. */
  get wireguard(): HostKeeper['wireguard'] {
    return this.#parts.host.wireguard;
  }

  /** Whether a data plane has to run for containers to be connected; else the kernel carries their packets. */
  get needsEngine(): boolean {
    return this.#effects.needsEngine;
  }

  /** When a round last began or ended, monotonic milliseconds: one begins every minute, and has its deadlines. */
  get progressAt(): number {
    return this.#progressAt;
  }

  /** What is wrong now, a sentence each. */
  get problems(): string[] {
    const { moved } = this.leases;
    const raised = [
      ...this.#problems.current(),
      ...leaseProblem(this.leases, this.view),
      ...(moved === undefined ? [] : [moved]),
    ];
    if (raised.length > 0 || this.ready) return raised;
    return this.view.complete ? ['setting up'] : ['starting: etcd has not answered yet'];
  }

  /** One round. @returns milliseconds until the next one is due at the latest */
  async #round(): Promise<number> {
    const { host, now, containers, commands, log } = this.#parts;
    if (now() >= host.resyncAt) this.interfaces.distrust();
    if (now() >= this.leases.stayUntil) this.view.letGo();
    try {
      if (!this.view.complete) {
        const wait = this.#startedAt + MEMORY_AFTER - now();
        if (this.view.fault === undefined && wait > 0) return wait;
        const iface = await this.#ensureInterface([]);
        if (!this.#recall.restore(this.#parts.hardwareOf(iface))) return Number.POSITIVE_INFINITY;
      }
      const inUse = this.config ?? (await this.#recalled());
      const { view, leases, interfaces } = this;
      const chosen = this.#choice.choose(view.config, inUse, leases.subnets, interfaces.chosen);
      if (chosen === undefined) return Number.POSITIVE_INFINITY;
      const { stands, settled, leaseDueAt } = await this.#converge(chosen);
      if (stands && !this.#stands)
        log.info(`ready: ${this.leases.subnets.join(' and ')}, peers: ${this.peers.length}`);
      this.#stands = stands;
      this.#problems.of('daemon').clear();
      const graceEnds = leases.stayUntil > now() ? leases.stayUntil : Number.POSITIVE_INFINITY;
      const due = Math.min(
        Math.min(leaseDueAt, host.resyncAt, graceEnds, this.backends.dueAt, commands.dueAt) - now(),
        ...containers.map(({ dueIn = Number.POSITIVE_INFINITY }) => dueIn),
        this.#problems.of('forwarding').current === undefined ? REMIND_EVERY : RECHECK_FORWARDING,
      );
      return settled ? due : Math.min(due, this.#retryAfter());
    } catch (error) {
      this.#stands = false;
      if (!(error instanceof CorduroyError)) this.#problems.defect(error);
      return isCode(error, 'out-of-subnets') ? RETRY_OUT_OF_SUBNETS : RETRY_AFTER;
    }
  }

  /** The network config that the daemon before this one went by. */
  async #recalled(): Promise<UsableConfig | undefined> {
    if (!this.#memory.isThere) return undefined;
    const iface = this.interfaces.chosen ?? (await this.#ensureInterface([]));
    return this.#recall.apply(this.#parts.hardwareOf(iface));
  }

  #retryAfter(): number {
    const hostStands =
      this.#problems.of('host').current === undefined && this.#problems.of('firewall').current === undefined;
    const datapathMissing = this.#problems.of('data plane').current !== undefined;
    return hostStands && datapathMissing ? RETRY_DATAPATH : RETRY_AFTER;
  }

  /**
   * Throws where nothing could be done without a lease.
   * @param chosen the network config to go by, as soon as the lease fits it
   */
  async #converge(chosen: UsableConfig): Promise<Outcome & { leaseDueAt: number }> {
    const before = this.interfaces.chosen;
    const fitting = this.#configs.fitting(chosen);
    const configs = new Set([fitting, chosen]);
    const iface = await this.#ensureInterface([...configs].flatMap(({ network }) => network.ranges));
    if (before !== undefined && !sameAddresses(before, iface)) this.#parts.store.reconnect();
    if (!this.leases.isInUse) this.#recall.apply(this.#parts.hardwareOf(iface));
    const { config, backend, next } = await this.#configs.open(chosen, iface);
    // The subnets were leased meanwhile.
    if (config !== chosen && fitting !== this.#configs.fitting(chosen)) return await this.#converge(chosen);
    this.#configs.takeUp(config);
    const { ranges } = config.network;
    const hardware = this.#parts.hardwareOf(iface);
    const wanted = wantedLease({
      chosen: next,
      config,
      backend,
      iface,
      hardware,
      configKey: this.view.configKey,
    });
    // A host that has a subnet is ready for what it says of itself before it says it.
    if (!this.leases.isInUse) await this.#ensureLease(wanted, false);
    const { subnets, held } = this.leases;
    const self = {
      key: held?.key ?? leaseKey(this.#prefix, subnets),
      subnets,
      publicIps: outerAddresses(iface).flatMap(({ address, publicIp }) => [address, publicIp]),
    };
    const { peers, rejected } = selectPeers(this.view.peerLeases, ranges, self);
    const capabilitiesOf = (peer: StoredLease) => this.view.cluster.nodes.holderOf(peer)?.capabilities ?? [];
    const input = { ranges, subnets, peers, capabilitiesOf };
    const succession = this.backends.succeed(backend, input, held?.attributes);
    const unreachable = succession.rejected.map(({ lease: { entry }, reason }) => ({ entry, reason }));
    const unreachableKeys = new Set(unreachable.map(({ entry }) => entry.key));
    this.peers =
      unreachable.length === 0 ? peers : peers.filter(({ entry }) => !unreachableKeys.has(entry.key));
    this.rejected.set([...rejected, ...unreachable, ...succession.gaps, ...this.view.cluster.rejected()]);
    const outcome = await this.#effects.apply(succession.state, {
      mtu: this.backends.mtu ?? backend.mtu,
      ranges,
      subnets,
      iface,
      isRemembered: this.view.remembered !== undefined,
    });
    if (held !== undefined && this.view.remembered === undefined)
      this.#memory.save({ view: this.view, subnets, hardware, config: config.entry });
    const settled = outcome.settled && this.#problems.of('backend').current === undefined;
    return { ...outcome, settled, leaseDueAt: await this.#ensureLease(wanted, outcome.stands) };
  }

  /**
   * One that was chosen is gone by for as long as nothing better is found, but never into the network: packets to the
   * other hosts would be led into the tunnel that carries them.
   */
  async #ensureInterface(ranges: UsableConfig['network']['ranges']): Promise<ExternalInterface> {
    try {
      return await this.#problems.run('interface', async () => {
        const iface = await this.interfaces.ensure(familiesOf(ranges));
        requireOutside(iface, ranges);
        return iface;
      });
    } catch (error) {
      const { chosen } = this.interfaces;
      if (chosen === undefined || isInside(chosen, ranges)) throw error;
      return chosen;
    }
  }

  /** @returns when the lease is due, monotonic milliseconds */
  async #ensureLease(wanted: Wanted, stands: boolean): Promise<number> {
    // What was remembered is set up first; etcd is asked when it answers the watch.
    if (this.view.remembered !== undefined) return Number.POSITIVE_INFINITY;
    return this.#minder.ensure(wanted, stands);
  }
}
