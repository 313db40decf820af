import { join } from 'node:path';
import type {
  Backend,
  BackendContext,
  BackendInput,
  BackendState,
  DatapathState,
} from '../backend/backend.ts';
import { subnetsIn } from '../bridge/subnet-env.ts';
import { etcdPrefix } from '../config/etcd.ts';
import type { FlagValues } from '../config/flags.ts';
import { STATE_FILES } from '../config/names.ts';
import { ENGINES } from '../datapath/datapath.ts';
import { CorduroyError, isCode, messageOf } from '../errors.ts';
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
import type { DaemonParts } from './daemon-parts.ts';
import { DatapathKeeper } from './datapath-keeper.ts';
import type { HostWish } from './host-keeper.ts';
import { InterfaceKeeper, isInside, requireOutside, sameAddresses } from './interface-keeper.ts';
import { LeaseMinder, leaseProblem, RETRY_OUT_OF_SUBNETS } from './lease-minder.ts';
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

/** Whether a round brought about what containers need to be connected, and whether it brought everything about. */
type Outcome = Readonly<{ stands: boolean; settled: boolean }>;

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
  config: UsableConfig | undefined;
  readonly backends: BackendKeeper;
  peers: readonly StoredLease[] = [];
  readonly rejected: RejectedKeys;

  readonly #parts: DaemonParts;
  readonly #prefix: string;
  readonly #wake = new Wake();
  readonly #problems: Problems;
  readonly #choice: ConfigChoice;
  readonly #memory: MemoryKeeper;
  readonly #recall: Recall;
  readonly #minder: LeaseMinder;
  readonly #startedAt: number;
  #progressAt: number;
  #stopped = false;
  /** Whether the last round brought about what containers need to be connected. */
  #stands = false;
  /** Whether a data plane has to run for that; else the kernel forwards. */
  #needsDatapath = true;
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
    this.#minder = new LeaseMinder({
      leases: this.leases,
      view: this.view,
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
  }

  /**
   * Runs until the signal aborts. The data plane, routes and files stay as they are.
   * @throws whatever ends the watch but the signal: a defect
   */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake.now());
    const watching = this.#watch(signal);
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
    else this.#parts.host.distrust(hint);
    this.#wake.now();
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

  /**
   * Containers can be connected: the last round saw to links, routes and subnet.env, and the data plane runs. A firewall
   * that cannot be set is a problem, and nothing that others have to wait for: it may last until somebody mends it.
   */
  get ready(): boolean {
    return this.#stands && (this.datapath.isRunning || !this.#needsDatapath);
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

  async #watch(signal: AbortSignal): Promise<void> {
    const { store, onChange } = this.#parts;
    for await (const event of store.watch(`${this.#prefix}/`, signal)) {
      const wentBack = this.view.apply(event);
      const etcd = this.#problems.of('etcd');
      if (event.kind === 'interrupted') {
        etcd.raise(`${event.error.message}. Trying again`);
      } else {
        etcd.clear('etcd answers again');
        // Revisions only grow, unless etcd was restored from a backup: then what is held proves nothing.
        if (wentBack) this.leases.doubt();
        else if (event.kind === 'snapshot') this.leases.compare(event.revision);
        this.leases.observe(this.view.cluster, this.view.revision);
        this.#answer();
      }
      this.#wake.now();
      onChange?.();
    }
  }

  /** Nobody may take a host for dead because one answer was lost. */
  #answer(): void {
    const { log, sleep } = this.#parts;
    this.leases.answerChallenges(this.view.cluster).catch(async (error: unknown) => {
      log.warn(`could not answer whether this machine lives, trying again: ${messageOf(error)}`);
      await sleep(RETRY_AFTER);
      this.#answer();
    });
  }

  /** One round. @returns milliseconds until the next one is due at the latest */
  async #round(): Promise<number> {
    const { host, now, containers } = this.#parts;
    if (now() >= host.resyncAt) this.interfaces.distrust();
    if (now() >= this.leases.stayUntil) this.view.letGo();
    try {
      if (!this.view.complete) {
        const wait = this.#startedAt + MEMORY_AFTER - now();
        if (this.view.fault === undefined && wait > 0) return wait;
        const iface = await this.#ensureInterface([]);
        if (!this.#recall.restore(this.#parts.hardwareOf(iface))) return Number.POSITIVE_INFINITY;
      }
      const config = this.#choice.choose(
        this.view.config,
        this.config,
        this.leases.subnets,
        this.interfaces.chosen,
      );
      if (config === undefined) return Number.POSITIVE_INFINITY;
      const { stands, settled, leaseDueAt } = await this.#converge(config);
      if (stands && !this.#stands) this.#sayReady();
      this.#stands = stands;
      this.#problems.of('daemon').clear();
      const forwards = this.#problems.of('forwarding').current === undefined;
      const { stayUntil } = this.leases;
      const graceEnds = stayUntil > now() ? stayUntil : Number.POSITIVE_INFINITY;
      const due = Math.min(
        Math.min(leaseDueAt, host.resyncAt, graceEnds, this.backends.dueAt) - now(),
        ...containers.map(({ dueIn = Number.POSITIVE_INFINITY }) => dueIn),
        forwards ? REMIND_EVERY : RECHECK_FORWARDING,
      );
      return settled ? due : Math.min(due, this.#retryAfter());
    } catch (error) {
      this.#stands = false;
      if (!(error instanceof CorduroyError)) this.#problems.defect(error);
      return isCode(error, 'out-of-subnets') ? RETRY_OUT_OF_SUBNETS : RETRY_AFTER;
    }
  }

  #retryAfter(): number {
    const hostStands =
      this.#problems.of('host').current === undefined && this.#problems.of('firewall').current === undefined;
    const datapathMissing = this.#problems.of('data plane').current !== undefined;
    return hostStands && datapathMissing ? RETRY_DATAPATH : RETRY_AFTER;
  }

  /** Throws where nothing could be done without a lease. */
  async #converge(config: UsableConfig): Promise<Outcome & { leaseDueAt: number }> {
    const { ranges } = config.network;
    const before = this.interfaces.chosen;
    const iface = await this.#ensureInterface(ranges);
    if (before !== undefined && !sameAddresses(before, iface)) this.#parts.store.reconnect();
    if (!this.leases.isInUse) this.#recall.apply(this.#parts.hardwareOf(iface));
    const backend = await this.#ensureBackend(config, iface);
    this.config = config;
    const wanted = this.#wantedOf(config, backend, iface);
    // A host that has a subnet is ready for what it says of itself before it says it.
    if (!this.leases.isInUse) await this.#ensureLease(wanted);
    const { subnets, held } = this.leases;
    const self = {
      key: held?.key ?? leaseKey(this.#prefix, subnets),
      subnets,
      publicIps: outerAddresses(iface).flatMap(({ address, publicIp }) => [address, publicIp]),
    };
    const { peers, rejected } = selectPeers(this.view.peerLeases, ranges, self);
    const { nodes } = this.view.cluster;
    const capabilitiesOf = (peer: StoredLease) => nodes.holderOf(peer)?.capabilities ?? [];
    const succession = this.backends.succeed(backend, { ranges, subnets, peers, capabilitiesOf });
    const unreachable = succession.rejected.map(({ lease: { entry }, reason }) => ({ entry, reason }));
    const unreachableKeys = new Set(unreachable.map(({ entry }) => entry.key));
    this.peers =
      unreachable.length === 0 ? peers : peers.filter(({ entry }) => !unreachableKeys.has(entry.key));
    this.rejected.set([...rejected, ...unreachable, ...this.view.cluster.rejected()]);
    const outcome = await this.#apply(succession.state, backend.mtu, { ranges, subnets, iface });
    if (held !== undefined && this.view.remembered === undefined) {
      this.#memory.save({ view: this.view, subnets, hardware: this.#parts.hardwareOf(iface) });
    }
    return { ...outcome, leaseDueAt: await this.#ensureLease(wanted) };
  }

  async #ensureBackend(config: UsableConfig, iface: ExternalInterface): Promise<Backend> {
    const { names, flags } = this.#parts.options;
    const { nodeId } = this.machine;
    const context = { iface, names: names.devices, nodeId, datapath: datapathWishes(flags) };
    return await this.#problems.run('backend', () => this.backends.ensure(config, context));
  }

  /** The parts are independent: a firewall that cannot be set must not keep routes from the data plane. */
  async #apply(
    { host: wished, datapath, commands }: BackendState,
    mtu: number,
    { ranges, subnets, iface }: Pick<BackendInput, 'ranges' | 'subnets'> & { iface: ExternalInterface },
  ): Promise<Outcome> {
    const { host, options, containers } = this.#parts;
    const networks = ranges.map(({ network }) => network);
    const wish: HostWish = { host: wished, networks, subnets, mtu, underlay: iface.name };
    const families = networks.flatMap((network) => {
      const subnet = subnets.find(({ family }) => family === network.family);
      return subnet === undefined ? [] : [{ network, subnet }];
    });
    const ipMasq = options.flags['ip-masq'];
    const problems = this.#problems;
    this.#needsDatapath = datapath !== undefined;
    // Before its device goes: else it looks like one that was lost.
    const endDone =
      datapath !== undefined || (await problems.attempt('data plane', () => this.datapath.end()));
    const linksDone = await problems.attempt('host', () => host.ensureLinks(wish));
    const [firewallDone, datapathDone, commandsDone] = await Promise.all([
      problems.attempt('firewall', () => host.ensureFirewall(wish)),
      datapath === undefined || problems.attempt('data plane', () => this.#ensureDatapath(datapath)),
      problems.attempt('commands', () => this.#parts.commands.ensure(commands)),
    ]);
    const subnetFile = { families, mtu, ipMasq };
    const fileDone = await problems.attempt('subnet file', () => host.writeSubnetFile(subnetFile));
    if (ipMasq) this.#checkForwarding();
    if (fileDone)
      for (const one of containers) await problems.attempt(one.name, () => one.ensure(subnetFile));
    const stands = linksDone && datapathDone && fileDone;
    return { stands, settled: stands && endDone && firewallDone && commandsDone };
  }

  async #ensureDatapath(state: DatapathState): Promise<void> {
    await this.datapath.ensure(state, this.view.remembered !== undefined);
    const enginePid = this.datapath.engine?.hello.pid;
    if (enginePid !== undefined) this.#parts.host.remember({ enginePid });
  }

  /** Answers from outside come in by an interface that is not Corduroy's to change. */
  #checkForwarding(): void {
    const name = this.interfaces.chosen?.name ?? '';
    const forwarding = this.#problems.of('forwarding');
    if (this.#parts.host.isForwarding(name)) forwarding.clear();
    else
      forwarding.raise(
        `--ip-masq needs forwarding on ${name}, or no answer from outside reaches a container: sysctl -w net.ipv4.ip_forward=1`,
      );
  }

  /**
   * One that was chosen is gone by for as long as nothing better is found, but never into the network: packets to the
   * other hosts would be led into the tunnel that carries them.
   */
  async #ensureInterface(ranges: UsableConfig['network']['ranges']): Promise<ExternalInterface> {
    try {
      return await this.#problems.run('interface', async () => {
        const iface = await this.interfaces.ensure(ranges.map(({ network }) => network.family));
        requireOutside(iface, ranges);
        return iface;
      });
    } catch (error) {
      const { chosen } = this.interfaces;
      if (chosen === undefined || isInside(chosen, ranges)) throw error;
      return chosen;
    }
  }

  #wantedOf(config: UsableConfig, backend: Backend, iface: ExternalInterface): Wanted {
    return {
      ranges: config.network.ranges,
      configKey: this.view.configKey,
      configRevision: config.revision,
      attributes: backend.attributes,
      capabilities: backend.capabilities,
      hardware: this.#parts.hardwareOf(iface),
    };
  }

  /** @returns when the lease is due, monotonic milliseconds */
  async #ensureLease(wanted: Wanted): Promise<number> {
    // What was remembered is set up first; etcd is asked when it answers the watch.
    if (this.view.remembered !== undefined) return Number.POSITIVE_INFINITY;
    return this.#minder.ensure(wanted);
  }

  #sayReady(): void {
    this.#parts.log.info(`ready: ${this.leases.subnets.join(' and ')}, peers: ${this.peers.length}`);
  }
}

function datapathWishes(flags: FlagValues): BackendContext['datapath'] {
  return {
    engine: ENGINES.find((name) => name === flags['datapath-engine']),
    offload: flags['datapath-offload'],
    queues: flags['datapath-queues'],
  };
}
