import type { Backend } from '../backend/backend.ts';
import { subnetsIn } from '../bridge/subnet-env.ts';
import { etcdPrefix } from '../config/etcd.ts';
import type { Options } from '../config/options.ts';
import type { Datapath } from '../datapath/datapath.ts';
import { CorduroyError, isCode, messageOf } from '../errors.ts';
import { chooseInterface, type ExternalInterface, readHostNetwork } from '../host/interfaces.ts';
import type { RandomInt } from '../ipam/pick-subnet.ts';
import { fitsRanges } from '../lease/decide.ts';
import { type HeldLease, LeaseKeeper } from '../lease/lease-keeper.ts';
import { type RejectedLease, type StoredLease, selectPeers } from '../lease/lease-table.ts';
import { Condition, type Log } from '../observe/log.ts';
import { printable } from '../printable.ts';
import type { Store } from '../store/store.ts';
import { readIfThere } from './atomic-file.ts';
import { DatapathKeeper } from './datapath-keeper.ts';
import { HostKeeper } from './host-keeper.ts';
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
  readonly connectDatapath: () => Promise<Datapath>;
  readonly launchDatapath: (tunName: string) => Promise<unknown>;
}

/** Milliseconds between rounds while something is missing; whatever etcd says starts one at once. */
const RETRY_AFTER = 1000;
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
  /** The routes stand and subnet.env is written. */
  ready = false;
  interface: ExternalInterface | undefined;
  config: UsableConfig | undefined;
  backend: Backend | undefined;
  peers: readonly StoredLease[] = [];
  rejected: readonly RejectedLease[] = [];

  readonly #parts: DaemonParts;
  readonly #host: HostKeeper;
  readonly #wake = new Wake();
  readonly #conditions: Record<'etcd' | 'config' | 'lease' | 'round', Condition>;
  #saidKeys: ReadonlyMap<string, string> = new Map();
  #saidUnknownKeys = '';
  #stopped = false;
  #current: Promise<unknown> = Promise.resolve();

  constructor(parts: DaemonParts) {
    const { options, log, now } = parts;
    const { flags, subnetFile } = options;
    const prefix = etcdPrefix(flags);
    this.#parts = parts;
    this.view = new NetworkView(prefix);
    this.#host = new HostKeeper(options, log, now);
    this.#conditions = {
      etcd: new Condition(log, now),
      config: new Condition(log, now),
      lease: new Condition(log, now),
      round: new Condition(log, now),
    };
    this.leases = new LeaseKeeper(
      { ...parts, prefix, ttl: flags['lease-ttl'], renewMargin: flags['subnet-lease-renew-margin'] * 60 },
      subnetsIn(readIfThere(subnetFile) ?? ''),
    );
    this.datapath = new DatapathKeeper({
      connect: parts.connectDatapath,
      launch: parts.launchDatapath,
      onGone: () => {
        this.#host.distrust();
        this.#wake.now();
      },
      log,
    });
  }

  /** Runs until the signal aborts. The data plane, routes and files stay as they are. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake.now());
    const watching = this.#watch(signal);
    while (!signal.aborted) {
      const round = this.#stopped ? Promise.resolve(Number.POSITIVE_INFINITY) : this.#round();
      this.#current = round;
      const pause = Math.min(await round, REMIND_EVERY);
      for (const condition of Object.values(this.#conditions)) condition.remind();
      if (!signal.aborted) await this.#wake.wait(pause);
    }
    await watching;
    this.datapath.release();
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

  /** What is wrong now, a sentence each. */
  get problems(): string[] {
    const raised = Object.values(this.#conditions).flatMap(({ current }) => current ?? []);
    return raised.length === 0 && !this.ready ? ['starting: etcd has not answered yet'] : raised;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { store, options } = this.#parts;
    for await (const event of store.watch(`${etcdPrefix(options.flags)}/`, signal)) {
      const before = this.view.revision;
      this.view.apply(event);
      if (event.kind === 'interrupted') {
        this.#conditions.etcd.raise(`${event.error.message}. Trying again`);
      } else {
        this.#conditions.etcd.clear('etcd answers again');
        // Revisions only grow, unless etcd was restored from a backup: then what is held proves nothing.
        if (event.revision < before) this.leases.doubt();
        this.leases.observe(this.view.leases, this.view.revision);
      }
      this.#wake.now();
    }
  }

  /** One round. @returns milliseconds until the next one is due at the latest */
  async #round(): Promise<number> {
    const { log, now } = this.#parts;
    try {
      const config = this.#currentConfig();
      if (config === undefined) return Number.POSITIVE_INFINITY;
      await this.#converge(config);
      this.#conditions.round.clear('all is as it should be again');
      return Math.min(this.leases.dueAt, this.#host.resyncAt) - now();
    } catch (error) {
      this.#conditions.round.raise(messageOf(error));
      if (!(error instanceof CorduroyError)) log.error('that was a defect in corduroyd', { err: error });
      return isCode(error, 'out-of-subnets') ? RETRY_OUT_OF_SUBNETS : RETRY_AFTER;
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
    const held = this.leases.held?.subnets;
    if (usable === undefined) {
      const going = this.config === undefined ? '. Waiting for it' : '. Going on with the one before';
      this.#conditions.config.raise(`${objection}${going}`);
      return this.config;
    }
    if (this.config !== undefined && held !== undefined && !fitsRanges(held, usable.network.ranges)) {
      this.#conditions.config.raise(
        `the network config has changed, and this host's subnet ${held.join(' and ')} does not fit it. Going on with the one ` +
          'before; to lease another subnet, restart corduroyd, and then the containers',
      );
      return this.config;
    }
    this.#conditions.config.clear('the network config is valid now');
    return usable;
  }

  async #converge(config: UsableConfig): Promise<void> {
    const iface = await this.#ensureInterface();
    if (config !== this.config || this.backend === undefined) {
      this.backend = config.createBackend({ iface, tun: this.#parts.options.names.tun });
      this.config = config;
    }
    const { backend } = this;
    const { ranges } = config.network;
    const held = await this.#ensureLease(config, backend);
    // What came while etcd was asked.
    this.leases.observe(this.view.leases, this.view.revision);
    if (this.leases.held !== held) return this.#wake.now();
    const { subnets } = held;
    const self = { key: held.key, subnets, publicIps: [iface.address, iface.publicIp] };
    const { peers, rejected } = selectPeers(this.view.leases, ranges, self);
    this.peers = peers;
    this.#sayRejected(rejected);

    const desired = backend.desired({ ranges, subnets, peers });
    const networks = ranges.map(({ network }) => network);
    await this.#host.ensure({ host: desired.host, networks, subnets, mtu: backend.mtu });
    if (desired.datapath !== undefined) await this.datapath.ensure(desired.datapath);
    const families = networks.flatMap((network, index) => {
      const subnet = subnets[index];
      return subnet === undefined ? [] : [{ network, subnet }];
    });
    this.#host.writeSubnetFile({ families, mtu: backend.mtu, ipMasq: this.#parts.options.flags['ip-masq'] });
    if (!this.ready) this.#parts.log.info(`ready: ${subnets.join(' and ')}, peers: ${peers.length}`);
    this.ready = true;
  }

  async #ensureInterface(): Promise<ExternalInterface> {
    if (this.interface !== undefined) return this.interface;
    const { flags } = this.#parts.options;
    const wishes = {
      iface: flags.iface,
      ifaceRegex: flags['iface-regex'],
      ifaceCanReach: flags['iface-can-reach'],
      publicIp: flags['public-ip'],
    };
    const chosen = await chooseInterface(wishes, await readHostNetwork());
    const published = chosen.publicIp.equals(chosen.address) ? '' : `, published as ${chosen.publicIp}`;
    this.#parts.log.info(
      `using interface ${chosen.name} (${chosen.address}${published}, MTU ${chosen.mtu}): ${chosen.why}`,
    );
    this.interface = chosen;
    return chosen;
  }

  /** While etcd does not answer, the lease that is held goes on. */
  async #ensureLease({ network, revision }: UsableConfig, { attributes }: Backend): Promise<HeldLease> {
    const { ranges } = network;
    try {
      const wanted = { ranges, configKey: this.view.configKey, configRevision: revision, attributes };
      const held = await this.leases.ensure(wanted);
      this.#conditions.lease.clear('the lease is renewed again');
      return held;
    } catch (error) {
      const { held } = this.leases;
      if (held === undefined || !isCode(error, 'store-unavailable')) throw error;
      this.#conditions.lease.raise(`the lease cannot be renewed: ${error.message}`);
      return held;
    }
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
