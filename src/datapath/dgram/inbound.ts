import { type Arrival, join, SEGMENTS_MAX, type TunWrite } from '../../wire/join.ts';
import type { DropReason, EngineConfig } from '../datapath.ts';
import { codeOf } from './code-of.ts';
import { decideInbound } from './forwarding.ts';
import type { ForwardingTable, Peer } from './forwarding-table.ts';
import type { Log } from './log.ts';
import type { Offloads } from './offloads.ts';
import type { TunDevice } from './tun-device.ts';

export interface InboundParts {
  readonly config: EngineConfig;
  readonly tun: Pick<TunDevice, 'name' | 'write' | 'writePieces'>;
  readonly table: () => ForwardingTable;
  readonly drop: (reason: DropReason, packets: number) => void;
  readonly offloads: Offloads;
  readonly log: Log;
}

interface Admitted extends Arrival {
  readonly from: Peer;
}

/**
 * From the peers to the TUN. Each datagram comes with an event of its own; what comes in one turn of the event loop is
 * kept until its end and written together.
 */
export class Inbound {
  readonly #parts: InboundParts;
  #batch: Admitted[] = [];

  constructor(parts: InboundParts) {
    this.#parts = parts;
  }

  /** @param packet is not used again by who calls */
  handle(packet: Uint8Array, sender: string): void {
    const { config, table, drop, offloads } = this.#parts;
    const verdict = decideInbound(packet, table(), config, sender);
    if (verdict.kind === 'drop') {
      drop(verdict.reason, 1);
      return;
    }
    const admitted = { bytes: packet.subarray(0, verdict.length), from: verdict.from };
    if (offloads.joins) this.#batch.push(admitted);
    else this.#writeOne(admitted);
    if (this.#batch.length === SEGMENTS_MAX) this.flush();
  }

  /** All that came in this turn has come. */
  flush(): void {
    const batch = this.#batch;
    this.#batch = [];
    for (const write of join(batch)) {
      const [only] = write.packets;
      if (only !== undefined && write.packets.length === 1) this.#writeOne(only);
      else this.#writeJoined(write);
    }
  }

  /** An ICMP error of the engine's own. */
  answer(packet: Uint8Array): void {
    const failure = this.#tryWrite(packet);
    if (failure !== undefined) this.#tellRefused(failure);
  }

  #writeJoined({ packets, pieces }: TunWrite<Admitted>): void {
    const { tun, offloads } = this.#parts;
    const failure = offloads.joins ? attempt(() => tun.writePieces(pieces)) : 'lost';
    if (failure === undefined) {
      for (const packet of packets) count(packet);
      return;
    }
    const taken = packets.map((packet) => this.#writeOne(packet));
    // The device takes them one by one: then it is for their being joined that it did not. A device that is down takes
    // nothing.
    if (taken.some(Boolean) && (failure === 'EINVAL' || failure === 'EIO')) this.#lose(failure);
  }

  #lose(cause: string): void {
    const { offloads, log, tun } = this.#parts;
    offloads.loseTunTso(`${tun.name} refused joined segments: ${cause}`);
    log.once(
      'tun-tso lost',
      `the device ${tun.name} refuses TCP segments that are joined, ${cause}: they go one by one from now on`,
    );
  }

  /** Whether the device took it. */
  #writeOne(packet: Admitted): boolean {
    const failure = this.#tryWrite(packet.bytes);
    if (failure === undefined) {
      count(packet);
      return true;
    }
    this.#parts.drop('in-tun-error', 1);
    this.#tellRefused(failure);
    return false;
  }

  #tryWrite(packet: Uint8Array): string | undefined {
    return attempt(() => this.#parts.tun.write(packet));
  }

  #tellRefused(cause: string): void {
    const { tun, log } = this.#parts;
    const remedy = cause === 'EIO' ? `: is it down? ip link set ${tun.name} up` : '';
    log.once(
      `tun ${cause}`,
      `the device ${tun.name} refuses packets, ${cause}${remedy}; counted as in-tun-error`,
    );
  }
}

function count({ from, bytes }: Admitted): void {
  from.receivedPackets++;
  from.receivedBytes += bytes.length;
}

/** The error code, if the kernel refused. */
function attempt(write: () => void): string | undefined {
  try {
    write();
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}
