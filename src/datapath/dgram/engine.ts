import { isCode, messageOf } from '../../errors.ts';
import { type Endpoint, formatEndpoint } from '../../net/endpoint.ts';
import type { Ip } from '../../net/ip.ts';
import { netUnreachable } from '../../wire/icmp.ts';
import type { EngineConfig, EngineStats } from '../datapath.ts';
import { encodeConfig, encodeHello, encodeStats, noDrops, type Request } from '../messages.ts';
import type { Reply } from './control-server.ts';
import { decideInbound, decideOutbound } from './forwarding.ts';
import { buildTable, EMPTY_TABLE, type ForwardingTable, type Peer, patchTable } from './forwarding-table.ts';
import type { Log } from './log.ts';
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
  readonly icmpSource: Ip | undefined;
}

/** Idle until CONFIGURE, then forwarding until its end. It decides nothing: forwarding.ts does, by the daemon's table. */
export class Engine {
  readonly #parts: EngineParts;
  readonly #icmpBudget: TokenBucket;
  readonly #drops = noDrops();
  #configured: Configured | undefined;
  #table: ForwardingTable = EMPTY_TABLE;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#icmpBudget = new TokenBucket(ICMP_PER_SECOND, ICMP_PER_SECOND, parts.now);
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
    const { tun, log } = this.#parts;
    if (this.#configured !== undefined) {
      if (Buffer.compare(encodeConfig(config), encodeConfig(this.#configured.config)) === 0)
        return { kind: 'granted' };
      return refused(
        'configured-otherwise',
        `the engine is configured already, ${describe(this.#configured.config)}, and not ${describe(config)}: ` +
          'shut it down and start another one',
      );
    }
    if (config.tunName !== tun.name) {
      return refused(
        'configure-failed',
        `the engine was started with ${tun.name}, not ${config.tunName}: start another`,
      );
    }
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
    const configured = { config, outer, icmpSource: config.icmpSources.find((ip) => ip.family === 4) };
    this.#configured = configured;
    this.#run(configured);
    return { kind: 'granted' };
  }

  #changeTable(request: Extract<Request, { kind: 'replace-routes' | 'update-routes' }>): Reply {
    if (this.#configured === undefined)
      return refused('not-configured', 'the engine is idle: configure it first');
    try {
      // Built apart, then put in place by one assignment between two packets.
      this.#table =
        request.kind === 'replace-routes'
          ? buildTable(request.table, this.#table)
          : patchTable(this.#table, request.delta);
      return { kind: 'granted' };
    } catch (error) {
      if (isCode(error, 'conflict')) return refused('wrong-generation', error.message);
      throw error;
    }
  }

  #stats(): EngineStats {
    const { source, peers } = this.#table;
    return {
      generation: source.generation,
      routes: source.routes.length,
      drops: this.#drops,
      peers: [...peers.values()].map((peer) => ({
        address: peer.address,
        sentPackets: BigInt(peer.sentPackets),
        sentBytes: BigInt(peer.sentBytes),
        receivedPackets: BigInt(peer.receivedPackets),
        receivedBytes: BigInt(peer.receivedBytes),
      })),
    };
  }

  #run(configured: Configured): void {
    const { tun, log } = this.#parts;
    configured.outer.start(
      (packet, sender) => this.#inbound(packet, sender, configured),
      (error) =>
        log.once(`outer ${error.message}`, `the UDP socket has a fault, and goes on: ${error.message}`),
    );
    tun.start(
      (packet) => this.#outbound(packet, configured),
      (error) => {
        log.info(
          `the device ${tun.name} is gone (${error.message}): the engine ends, to be started with a new one`,
        );
        this.#close();
        this.#parts.end('tun-fault');
      },
    );
  }

  #outbound(packet: Uint8Array, { config, outer, icmpSource }: Configured): void {
    const verdict = decideOutbound(packet, this.#table, config);
    if (verdict.kind === 'drop') {
      this.#drops[verdict.reason]++;
      if (verdict.reason === 'out-no-route') this.#answerNoRoute(packet, icmpSource);
      return;
    }
    const { peer, port } = verdict.to;
    outer.send(packet.subarray(0, verdict.length), peer.host, port, (error) => {
      if (error === null) {
        peer.sentPackets++;
        peer.sentBytes += verdict.length;
      } else {
        this.#sendFailed(peer, error);
      }
    });
  }

  #sendFailed(peer: Peer, error: Error): void {
    this.#drops['out-send-error']++;
    const cause = codeOf(error);
    const meaning = cause === 'ENOBUFS' ? ', the network takes less than this host sends' : '';
    this.#parts.log.once(
      `send ${peer.host} ${cause}`,
      `cannot send to ${peer.host}: ${cause}${meaning}; counted as out-send-error`,
    );
  }

  #answerNoRoute(packet: Uint8Array, source: Ip | undefined): void {
    // IPv6 has its own ICMP, which this engine does not write yet.
    if (source === undefined || (packet[0] ?? 0) >> 4 !== 4) return;
    const answer = netUnreachable(packet, source);
    if (answer !== undefined && this.#icmpBudget.take()) this.#writeTun(answer);
  }

  #inbound(packet: Uint8Array, sender: string, { config }: Configured): void {
    const verdict = decideInbound(packet, this.#table, config, sender);
    if (verdict.kind === 'drop') {
      this.#drops[verdict.reason]++;
      return;
    }
    const failure = this.#writeTun(packet.subarray(0, verdict.length));
    if (failure === undefined) {
      verdict.from.receivedPackets++;
      verdict.from.receivedBytes += verdict.length;
    } else {
      this.#drops['in-tun-error']++;
    }
  }

  /** The error code, if the kernel refused the packet. */
  #writeTun(packet: Uint8Array): string | undefined {
    const { tun, log } = this.#parts;
    try {
      tun.write(packet);
      return undefined;
    } catch (error) {
      const cause = codeOf(error);
      const remedy = cause === 'EIO' ? `: is it down? ip link set ${tun.name} up` : '';
      log.once(
        `tun ${cause}`,
        `the device ${tun.name} refuses packets, ${cause}${remedy}; counted as in-tun-error`,
      );
      return cause;
    }
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
  const { tunName, mtu, listen, icmpSources, strictSource } = config;
  const sources = icmpSources.length === 0 ? 'none' : icmpSources.join(', ');
  return `${tunName} MTU ${mtu} on UDP ${formatEndpoint(listen)}, ICMP from ${sources}, strict source ${strictSource}`;
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : messageOf(error);
}
