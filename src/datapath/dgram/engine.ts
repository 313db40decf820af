import { isCode, messageOf } from '../../errors.ts';
import { type Endpoint, formatEndpoint } from '../../net/endpoint.ts';
import type { DropReason, EngineConfig, EngineStats } from '../datapath.ts';
import { encodeConfig, encodeHello, encodeStats, noDrops, type Request } from '../messages.ts';
import type { Reply } from './control-server.ts';
import { buildTable, EMPTY_TABLE, type ForwardingTable, patchTable } from './forwarding-table.ts';
import { Inbound } from './inbound.ts';
import type { Log } from './log.ts';
import { Offloads } from './offloads.ts';
import { Outbound } from './outbound.ts';
import type { OuterSocket } from './outer-socket.ts';
import { TokenBucket } from './token-bucket.ts';
import type { TunDevice } from './tun-device.ts';

const ENGINE = 'dgram';
/** ICMP errors a second: enough for people and TCP, too few to be of use to anybody else. */
const ICMP_PER_SECOND = 100;

/** What the engine is made of; a test brings its own. */
export interface EngineParts {
  readonly build: string;
  readonly tun: TunDevice;
  readonly openOuterSocket: (listen: Endpoint) => Promise<OuterSocket>;
  /** Says what it did; throws when the process would keep rights. */
  readonly dropPrivileges: () => string;
  /** Milliseconds, of a clock that never goes back. */
  readonly now: () => number;
  readonly log: Log;
  /** Ends the process. The engine has closed what it could. */
  readonly end: (why: 'asked' | 'tun-fault' | 'privileges') => void;
}

interface Configured {
  readonly config: EngineConfig;
  readonly outer: OuterSocket;
}

/** Idle until CONFIGURE, then forwarding until its end. It decides nothing: forwarding.ts does, by the daemon's table. */
export class Engine {
  readonly #parts: EngineParts;
  readonly #icmpBudget: TokenBucket;
  readonly #drops = noDrops();
  readonly #offloads: Offloads;
  #configured: Configured | undefined;
  #forwarding = false;
  #table: ForwardingTable = EMPTY_TABLE;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#icmpBudget = new TokenBucket(ICMP_PER_SECOND, ICMP_PER_SECOND, parts.now);
    this.#offloads = new Offloads(parts.tun.offload);
  }

  async handle(request: Request): Promise<Reply> {
    switch (request.kind) {
      case 'hello':
        return { kind: 'granted', payload: this.#hello() };
      case 'configure':
        return this.#configure(request.config);
      case 'stats':
        return { kind: 'granted', payload: encodeStats(this.#stats()) };
      case 'shutdown':
        return { kind: 'granted', afterwards: () => this.stop('SHUTDOWN was asked for') };
      case 'replace-routes':
      case 'update-routes':
        return this.#changeTable(request);
    }
  }

  /** Closes what it has and ends the process. */
  stop(why: string): void {
    this.#parts.log.info(`ends: ${why}`);
    this.#close();
    this.#parts.end('asked');
  }

  #hello(): Uint8Array {
    const { build } = this.#parts;
    return encodeHello({ engine: ENGINE, build, pid: process.pid, config: this.#configured?.config });
  }

  async #configure(config: EngineConfig): Promise<Reply> {
    const { log } = this.#parts;
    if (this.#configured !== undefined) {
      if (Buffer.compare(encodeConfig(config), encodeConfig(this.#configured.config)) === 0)
        return { kind: 'granted' };
      return refused(
        'configured-otherwise',
        `the engine is configured already, ${describe(this.#configured.config)}, and not ${describe(config)}: ` +
          'shut it down and start another one',
      );
    }
    const obstacle = this.#cannotDo(config);
    if (obstacle !== undefined) return refused('configure-failed', obstacle);
    let outer: OuterSocket;
    try {
      outer = await this.#parts.openOuterSocket(config.listen);
    } catch (error) {
      return refused('configure-failed', messageOf(error));
    }
    let rights: string;
    try {
      rights = this.#parts.dropPrivileges();
    } catch (error) {
      outer.close();
      const text = `the engine cannot give up root, and ends: ${messageOf(error)}`;
      log.info(text);
      // The answer should reach the daemon first; nothing is forwarded meanwhile.
      setImmediate(() => this.#parts.end('privileges'));
      return refused('configure-failed', text);
    }
    log.info(`configured: ${describe(config)}; ${rights}`);
    const configured = { config, outer };
    if (!config.offload) this.#offloads.switchedOff();
    this.#configured = configured;
    return { kind: 'granted' };
  }

  /** What of a configuration this engine, as it was started, cannot do. */
  #cannotDo({ tunName, offload, ecn, queues }: EngineConfig): string | undefined {
    const { tun } = this.#parts;
    if (tunName !== tun.name) return `the engine was started with ${tun.name}, not ${tunName}: start another`;
    if (offload && !tun.offload)
      return `the engine was started without --vnet-hdr, for no offload: start another`;
    if (!offload && tun.offload) return `the engine was started with --vnet-hdr, for offload: start another`;
    if (ecn)
      return 'the dgram engine cannot set ECN on a datagram: configure it without, or start the native one';
    if (queues !== 1)
      return `the dgram engine has 1 queue, not ${queues}: configure one, or start the native one`;
    return undefined;
  }

  #changeTable(request: Extract<Request, { kind: 'replace-routes' | 'update-routes' }>): Reply {
    const configured = this.#configured;
    if (configured === undefined) return refused('not-configured', 'the engine is idle: configure it first');
    try {
      // Built apart, then put in place by one assignment between two packets.
      this.#table =
        request.kind === 'replace-routes'
          ? buildTable(request.table, this.#table)
          : patchTable(this.#table, request.delta);
      // With the first table forwarding begins: until then packets wait, instead of being told that there is no route.
      if (!this.#forwarding) this.#run(configured);
      this.#forwarding = true;
      return { kind: 'granted' };
    } catch (error) {
      if (isCode(error, 'conflict')) return refused('wrong-generation', error.message);
      throw error;
    }
  }

  #stats(): EngineStats {
    const { generation, nextHops, peers } = this.#table;
    return {
      generation,
      routes: nextHops.size,
      drops: this.#drops,
      offloads: this.#offloads.status(),
      peers: [...peers.values()].map((peer) => ({
        address: peer.address,
        sentPackets: BigInt(peer.sentPackets),
        sentBytes: BigInt(peer.sentBytes),
        receivedPackets: BigInt(peer.receivedPackets),
        receivedBytes: BigInt(peer.receivedBytes),
        // The kernel's path MTU is out of reach, and nothing is sent many at a time.
        pathMtu: 0,
        noSegment: '',
      })),
    };
  }

  #run({ config, outer }: Configured): void {
    const { tun, log } = this.#parts;
    const common = {
      config,
      log,
      table: () => this.#table,
      drop: (reason: DropReason, packets: number) => {
        this.#drops[reason] += BigInt(packets);
      },
    };
    const inbound = new Inbound({ ...common, tun, offloads: this.#offloads });
    const outbound = new Outbound({
      ...common,
      outer,
      icmpBudget: this.#icmpBudget,
      answer: (packet) => inbound.answer(packet),
    });
    outer.start(
      (packet, sender) => inbound.handle(packet, sender),
      () => inbound.flush(),
      (error) =>
        log.once(`outer ${error.message}`, `the UDP socket has a fault, and goes on: ${error.message}`),
    );
    tun.start(
      (packet, header) => outbound.handle(packet, header),
      (error) => {
        log.info(
          `the device ${tun.name} is gone (${error.message}): the engine ends, to be started with a new one`,
        );
        this.#close();
        this.#parts.end('tun-fault');
      },
    );
  }

  #close(): void {
    this.#parts.tun.stop();
    this.#configured?.outer.close();
  }
}

function refused(refusal: Extract<Reply, { kind: 'refused' }>['refusal'], text: string): Reply {
  return { kind: 'refused', refusal, text };
}

function describe(config: EngineConfig): string {
  const { tunName, mtu, listen, icmpSources, strictSource, offload, ecn, queues } = config;
  const sources = icmpSources.length === 0 ? 'none' : icmpSources.join(', ');
  return (
    `${tunName} MTU ${mtu} on UDP ${formatEndpoint(listen)}, ICMP from ${sources}, strict source ${strictSource}, ` +
    `offload ${offload}, ECN ${ecn}, queues ${queues}`
  );
}
