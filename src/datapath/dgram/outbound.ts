import { segments } from '../../wire/segment.ts';
import type { VirtioHeader } from '../../wire/virtio-header.ts';
import type { DropReason, EngineConfig } from '../datapath.ts';
import { codeOf } from './code-of.ts';
import { decideOutbound, type OutboundPacket, readOutbound } from './forwarding.ts';
import type { ForwardingTable, Peer } from './forwarding-table.ts';
import { answerTo } from './icmp-answers.ts';
import type { Log } from './log.ts';
import type { OuterSocket } from './outer-socket.ts';
import type { TokenBucket } from './token-bucket.ts';

export interface OutboundParts {
  readonly config: EngineConfig;
  readonly outer: Pick<OuterSocket, 'send'>;
  readonly table: () => ForwardingTable;
  readonly drop: (reason: DropReason, packets: number) => void;
  /** Gets the ICMP errors. */
  readonly answer: (packet: Uint8Array) => void;
  readonly icmpBudget: TokenBucket;
  readonly log: Log;
}

/** From the TUN to the peers. */
export class Outbound {
  readonly #parts: OutboundParts;

  constructor(parts: OutboundParts) {
    this.#parts = parts;
  }

  /** @param bytes are the TUN's again when this returns */
  handle(bytes: Uint8Array, header: VirtioHeader): void {
    const { config, table, drop } = this.#parts;
    const packet = readOutbound(bytes, header);
    if (packet.kind === 'drop') {
      drop(packet.reason, 1);
      return;
    }
    const verdict = decideOutbound(packet, table(), config);
    if (verdict.kind === 'send') {
      this.#send(packet, verdict.to.peer, verdict.to.port);
    } else if (verdict.kind === 'drop') {
      drop(verdict.reason, packet.count);
      this.#answer(packet, verdict.reason);
    }
  }

  #send(packet: OutboundPacket, peer: Peer, port: number): void {
    const { outer } = this.#parts;
    const done = (error: Error | null, length: number) => {
      if (error === null) {
        peer.sentPackets++;
        peer.sentBytes += length;
      } else {
        this.#sendFailed(peer, error);
      }
    };
    // The kernel may be out of buffers, and then the socket keeps the bytes for later: they have to be a copy.
    const wirePackets = packet.whole === undefined ? [Buffer.from(packet.bytes)] : segments(packet.whole);
    for (const each of wirePackets) outer.send(each, peer.host, port, done);
  }

  #sendFailed(peer: Peer, error: Error): void {
    const { drop, log } = this.#parts;
    drop('out-send-error', 1);
    const cause = codeOf(error);
    const meaning = cause === 'ENOBUFS' ? ', the network takes less than this host sends' : '';
    log.once(
      `send ${peer.host} ${cause}`,
      `cannot send to ${peer.host}: ${cause}${meaning}; counted as out-send-error`,
    );
  }

  #answer(packet: OutboundPacket, reason: DropReason): void {
    const { config, icmpBudget, answer } = this.#parts;
    const error = answerTo(packet, reason, config, icmpBudget);
    if (error !== undefined) answer(error);
  }
}
