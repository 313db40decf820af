import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectDatapath } from '../../../src/datapath/client.ts';
import type {
  Datapath,
  DropReason,
  EngineConfig,
  EngineStats,
  Route,
  RouteTable,
} from '../../../src/datapath/datapath.ts';
import { isCode } from '../../../src/errors.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { NetNamespace } from '../../support/netns.ts';
import { findingsIn } from '../../support/programs.ts';
import { UdpAgent } from '../../support/udp-agent.ts';
import type { EngineHarness } from './harness.ts';

export const PORT = 8285;
/** Where a local socket of a test listens, inside. */
export const INNER_PORT = 9000;
export const TUN = 'cdyt0';
export const MTU = 1400;
/** The host under test, and its peers, of which only the first two are in the table. */
export const HOST = {
  outer: '127.0.0.1',
  outerV6: 'fd00:ff::1',
  tun: '10.5.1.0',
  inner: '10.5.1.1',
  innerV6: 'fd00:5:1::1',
};
export const PEER_A = {
  outer: '127.0.0.2',
  outerV6: 'fd00:ff::2',
  inner: '10.5.2.7',
  innerV6: 'fd00:5:2::7',
};
export const PEER_B = { outer: '127.0.0.3', outerV6: 'fd00:ff::3', inner: '10.5.3.7' };
export const STRANGER = { outer: '127.0.0.9' };

export function route(prefix: string, outer: string, port = PORT): Route {
  return { prefix: Prefix.parse(prefix), peer: { address: Ip.parse(outer), port } };
}

export const CONFIG: EngineConfig = {
  tunName: TUN,
  mtu: MTU,
  listen: { address: Ip.parse(HOST.outer), port: PORT },
  icmpSources: [Ip.parse(HOST.tun)],
  strictSource: true,
  offload: true,
  ecn: false,
  queues: 1,
};

export const TABLE: RouteTable = {
  generation: 7n,
  local: [Prefix.parse('10.5.1.0/24'), Prefix.parse('fd00:5:1::/64')],
  routes: [
    route('10.5.2.0/24', PEER_A.outer),
    route('10.5.3.0/24', PEER_B.outer),
    route('fd00:5:2::/64', PEER_A.outer),
  ],
};

/** Where the outside is IPv6. */
export const CONFIG_V6: EngineConfig = {
  ...CONFIG,
  listen: { address: Ip.parse(HOST.outerV6), port: PORT },
};
export const TABLE_V6: RouteTable = {
  ...TABLE,
  routes: [route('10.5.2.0/24', PEER_A.outerV6), route('fd00:5:2::/64', PEER_A.outerV6)],
};

/**
 * One host in a namespace: a TUN with the overlay routed into it, an inner address for local sockets, outer addresses
 * on the loopback for itself and its peers, and an engine. rp_filter is strict, as on many hosts.
 */
export class EngineLab {
  readonly harness: EngineHarness;
  readonly namespace: NetNamespace;
  readonly agent: UdpAgent;
  readonly socketPath: string;
  readonly #folder: string;
  #engine: ChildProcess;
  #log = '';

  private constructor(harness: EngineHarness, namespace: NetNamespace) {
    this.harness = harness;
    this.namespace = namespace;
    this.#folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
    this.socketPath = join(this.#folder, 'datapath.sock');
    this.agent = new UdpAgent(namespace);
    this.#engine = this.#start();
  }

  static async create(harness: EngineHarness): Promise<EngineLab> {
    const namespace = await NetNamespace.create();
    await namespace.script(`
      sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
      ip address add ${HOST.inner}/32 dev lo
      ip address add ${HOST.innerV6}/128 dev lo nodad
      ip address add ${HOST.outerV6}/128 dev lo nodad
      ip address add ${PEER_A.outerV6}/128 dev lo nodad
      ip address add ${PEER_B.outerV6}/128 dev lo nodad
      ip tuntap add dev ${TUN} mode tun ${(harness.queues ?? 1) > 1 ? 'multi_queue' : ''}
      sysctl -qw net.ipv4.conf.${TUN}.accept_local=1 net.ipv6.conf.${TUN}.addr_gen_mode=1
      ip link set ${TUN} mtu ${MTU} up
      ip address add ${HOST.tun}/32 dev ${TUN}
      ip route add 10.5.0.0/16 dev ${TUN}
      ip route add fd00:5::/32 dev ${TUN}
    `);
    return new EngineLab(harness, namespace);
  }

  get engine(): ChildProcess {
    return this.#engine;
  }

  get pid(): number {
    if (this.#engine.pid === undefined) throw new Error('the engine did not start');
    return this.#engine.pid;
  }

  /** What the engine has logged. */
  get log(): string {
    return this.#log;
  }

  /** Starts another engine in the place of one that has ended. */
  restart(): void {
    this.#engine = this.#start();
  }

  /** Connects as soon as the engine's socket is there. */
  async connect(): Promise<Datapath> {
    for (const deadline = performance.now() + 10_000; ; await sleep(10)) {
      try {
        return await connectDatapath(this.socketPath, { timeoutMs: 10_000 });
      } catch (error) {
        if (!isCode(error, 'datapath') || !error.retryable || performance.now() > deadline) throw error;
        if (this.#engine.exitCode !== null)
          throw new Error(`the engine has ended: ${this.#log}`, { cause: error });
      }
    }
  }

  async connectConfigured(config = CONFIG, table = TABLE): Promise<Datapath> {
    const datapath = await this.connect();
    await datapath.configure(config);
    await datapath.replaceRoutes(table);
    return datapath;
  }

  /** What an engine has written into the TUN, as the kernel counts it. */
  async outOfTun(): Promise<{ packets: number; bytes: number }> {
    const [bytes = Number.NaN, packets = Number.NaN] = await this.#counters();
    return { packets, bytes };
  }

  /** Packets that the kernel has routed into the TUN. */
  async intoTun(): Promise<number> {
    return (await this.#counters())[9] ?? Number.NaN;
  }

  /** Of /proc/net/dev: bytes and packets received, and six more; the same for those sent. */
  async #counters(): Promise<number[]> {
    const devices = await this.namespace.run('cat', '/proc/net/dev');
    const line = devices.split('\n').find((each) => each.trim().startsWith(`${TUN}:`));
    if (line === undefined) throw new Error(`no ${TUN} in ${devices}`);
    return line.trim().split(/\s+/).slice(1).map(Number);
  }

  /** How the engine ended; rejects when it does not. */
  async ended(): Promise<{ code: number | null; signal: string | null }> {
    const engine = this.#engine;
    if (engine.exitCode === null && engine.signalCode === null) {
      await once(engine, 'exit', { signal: AbortSignal.timeout(5000) });
    }
    return { code: engine.exitCode, signal: engine.signalCode };
  }

  /** @throws what sanitizers have found in the engine */
  async remove(): Promise<void> {
    await this.namespace.remove();
    rmSync(this.#folder, { recursive: true, force: true });
    const finding = findingsIn(this.#log);
    if (finding !== undefined) throw new Error(finding);
  }

  #start(): ChildProcess {
    const [program, ...args] = this.harness.command(TUN, this.socketPath);
    // With supplementary groups, as many a root shell has: the engine has to give them up too.
    const engine = this.namespace.spawn('setpriv', ['--groups', '12,13', program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [engine.stdout, engine.stderr]) {
      stream?.on('data', (chunk) => {
        this.#log += chunk;
      });
    }
    return engine;
  }
}

/** Asks for the counters until they are as wanted: a counter may move a moment after its packet. */
export async function statsUntil(
  datapath: Datapath,
  fits: (stats: EngineStats) => boolean,
): Promise<EngineStats> {
  for (const deadline = performance.now() + 3000; ; await sleep(10)) {
    const stats = await datapath.stats();
    if (fits(stats) || performance.now() > deadline) return stats;
  }
}

/** The reasons that something was dropped for. */
export function dropped(stats: EngineStats): Partial<Record<DropReason, bigint>> {
  return Object.fromEntries(Object.entries(stats.drops).filter(([, packets]) => packets > 0n));
}
