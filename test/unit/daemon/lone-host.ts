import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { ContainerSetup } from '../../../src/bridge/container-setup.ts';
import { resolveOptions } from '../../../src/config/options.ts';
import { Daemon } from '../../../src/daemon/daemon.ts';
import type { DaemonParts } from '../../../src/daemon/daemon-parts.ts';
import type { HostKeeper, HostWish } from '../../../src/daemon/host-keeper.ts';
import { CorduroyError } from '../../../src/errors.ts';
import type { ExternalInterface } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type {
  Condition,
  Listing,
  Operation,
  TransactionResult,
  WatchEvent,
} from '../../../src/store/store.ts';
import { nodeIdOf } from '../lease/cluster.ts';
import { CONFIG_KEY, PREFIX, value } from '../lease/fixtures.ts';
import { HookedStore } from '../lease/hooked-store.ts';
import { RecordedLog } from '../lease/recorded-log.ts';
import { FakeEngine } from './fake-engine.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const ADDRESS = '192.0.2.1';

/** An etcd that may take a connection and never answer. */
class SilentStore extends HookedStore {
  silent = false;

  /** What somebody else does with an etcd that answers him. */
  async elsewhere<T>(work: () => Promise<T>): Promise<T> {
    const { silent } = this;
    this.silent = false;
    try {
      return await work();
    } finally {
      this.silent = silent;
    }
  }

  override async list(prefix: string): Promise<Listing> {
    await this.#answer();
    return super.list(prefix);
  }

  override async transaction(
    conditions: readonly Condition[],
    operations: readonly Operation[],
  ): Promise<TransactionResult> {
    await this.#answer();
    return super.transaction(conditions, operations);
  }

  override async grantLease(ttl: number) {
    await this.#answer();
    return super.grantLease(ttl);
  }

  override async *watch(prefix: string, signal: AbortSignal): AsyncGenerator<WatchEvent, void, undefined> {
    while (this.silent && !signal.aborted) await moment();
    yield* super.watch(prefix, signal);
  }

  async #answer(): Promise<void> {
    if (this.silent) await new Promise(() => undefined);
  }
}

/** One host with its kernel, data plane and disk, all simulated; daemons come and go on it. */
export class LoneHost {
  readonly store = new SilentStore({ clock: () => this.now() });
  readonly folder = temporaryFolder();
  engine: FakeEngine | undefined;
  launches = 0;
  /** What the kernel was brought to hold, every time. */
  readonly wishes: HostWish[] = [];
  iface: ExternalInterface = interfaceAt(ADDRESS);
  hardwareOf: DaemonParts['hardwareOf'] = ({ mac }) => mac;
  containers: ContainerSetup[] = [];
  onChange: () => void = () => undefined;
  /** What the firewall, or the folder of subnet.env, does when it is to be changed. */
  firewall: () => void = () => undefined;
  subnetFile: () => void = () => undefined;
  /** What the kernel says to links and routes, when they are to be changed. */
  links: () => void = () => undefined;
  /** Milliseconds that the monotonic clock is ahead. */
  ahead = 0;

  static async create(): Promise<LoneHost> {
    const host = new LoneHost();
    await host.put(CONFIG_KEY, '{"Network": "10.5.0.0/16"}');
    return host;
  }

  readonly now = (): number => performance.now() + this.ahead;

  /** Subnets that the kernel was brought to hold, each change of them. */
  get subnetsInTurn(): string[] {
    const all = this.wishes.map(({ subnets }) => subnets.join(' '));
    return all.filter((text, index) => text !== all[index - 1]);
  }

  async put(key: string, content: string): Promise<void> {
    await this.store.elsewhere(() => this.store.transaction([], [{ do: 'put', key, value: content }]));
  }

  /** Another host's lease, without an etcd lease so that only the test ends it. */
  async lease(name: string, publicIp: string): Promise<void> {
    await this.put(`${PREFIX}/subnets/${name}`, value(publicIp));
  }

  async delete(name: string): Promise<void> {
    const key = `${PREFIX}/subnets/${name}`;
    await this.store.elsewhere(() => this.store.transaction([], [{ do: 'delete', key }]));
  }

  /** The host starts anew: what is not on disk is gone. */
  reboot(): void {
    this.engine?.end();
    this.engine = undefined;
    this.wishes.length = 0;
  }

  start(): Running {
    return new Running(this);
  }
}

export class Running {
  readonly log = new RecordedLog();
  readonly daemon: Daemon;
  readonly #ending = new AbortController();
  readonly #ended: Promise<void>;

  constructor(host: LoneHost) {
    this.daemon = new Daemon(partsOf(host, this.log));
    this.#ended = this.daemon.run(this.#ending.signal);
    onTestFinished(() => this.stop());
  }

  get subnet(): string {
    return this.daemon.leases.subnets.join(' ');
  }

  get isHeld(): boolean {
    return this.daemon.ready && this.daemon.leases.state.name === 'held';
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#ended;
  }
}

export function interfaceAt(address: string): ExternalInterface {
  const ip = Ip.parse(address);
  const onLink = [Prefix.of(ip, 24)];
  const v4 = { address: ip, publicIp: ip };
  return { name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1500, v4, onLink, why: 'by a test' };
}

function moment(): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

/** @throws Error when it does not become true within the time, milliseconds */
export async function until(condition: () => boolean | Promise<boolean>, within = 3000): Promise<void> {
  const end = performance.now() + within;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${within} ms: ${condition}`);
    await moment();
  }
}

function partsOf(host: LoneHost, log: RecordedLog): DaemonParts {
  const { folder, store, now } = host;
  const given = {
    'etcd-prefix': [PREFIX],
    'run-dir': [folder],
    'state-dir': [join(folder, 'state')],
    'subnet-file': [join(folder, 'subnet.env')],
  };
  return {
    options: resolveOptions(given, {}),
    machine: { nodeId: nodeIdOf('this'), hostName: 'this', version: '1.0.0', processId: `${Math.random()}` },
    store,
    log,
    random: () => 0,
    now,
    sleep: async () => {
      await moment();
    },
    host: kernelOf(host),
    containers: host.containers,
    onChange: () => host.onChange(),
    wireguardKeys: () => new Map(),
    commands: {
      start: async () => '',
      ensure: async () => undefined,
      isStarted: true,
      dueAt: Number.POSITIVE_INFINITY,
    },
    chooseInterface: async () => host.iface,
    hardwareOf: (iface) => host.hardwareOf(iface),
    connectDatapath: async () => {
      if (host.engine?.alive !== true)
        throw new CorduroyError('datapath', 'no data plane answers', { retryable: true });
      return host.engine.connect();
    },
    launchDatapath: async ({ engine }) => {
      host.engine = new FakeEngine(100 + ++host.launches);
      host.engine.kind = engine;
    },
  };
}

/** Stands for the keeper of the kernel's state: it does at once what it is told, and looks again when distrusted. */
function kernelOf(host: LoneHost): HostKeeper {
  let applied = '';
  const textOf = (wish: HostWish) => JSON.stringify([wish.host, wish.networks, wish.subnets]);
  const keeper: Pick<HostKeeper, keyof HostKeeper> = {
    resyncAt: Number.POSITIVE_INFINITY,
    devices: new Set(),
    wireguard: undefined,
    destinations: new Set(),
    distrust: () => {
      applied = '';
    },
    ensureLinks: async (wish) => {
      if (textOf(wish) === applied) return;
      host.links();
      host.wishes.push(wish);
      applied = textOf(wish);
    },
    ensureFirewall: async () => host.firewall(),
    writeSubnetFile: () => host.subnetFile(),
    forwardingCommand: () => undefined,
    remember: () => undefined,
  };
  return keeper as HostKeeper;
}
