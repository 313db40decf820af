import { CorduroyError } from '../errors.ts';

/*
 * The control protocol between the daemon and a data plane, over a Unix stream socket: frames, each a request or the
 * answer to one. docs/control-protocol.md has the whole of it; messages.ts has the payloads.
 *
 *      0               1               2               3
 *     +---------------+---------------+---------------+---------------+
 *     |           length: bytes that follow, 4 … 16 MiB               |
 *     +---------------+---------------+---------------+---------------+
 *     |    version    |     type      |          request id           |
 *     +---------------+---------------+---------------+---------------+
 *     |  payload …
 *
 * Numbers are unsigned and big-endian. The answer carries the id of its request.
 */

/**
 * Changes with every change of a frame or payload. These never change: the frame, HELLO up to its pid, SHUTDOWN, and
 * ERROR.
 */
export const PROTOCOL_VERSION = 2;
/** Upper bound of the length field, in bytes: over a million IPv4 routes. */
export const FRAME_MAX = 16 * 1024 * 1024;
const LENGTH_FIELD = 4;
const HEADER_AFTER_LENGTH = 4;

export const REQUEST_TYPES = {
  hello: 1,
  configure: 2,
  'replace-routes': 3,
  'update-routes': 4,
  stats: 5,
  shutdown: 6,
} as const;

export type RequestKind = keyof typeof REQUEST_TYPES;

/** Set in the type of the answer that grants a request. */
export const RESPONSE_BIT = 0x80;
/** The type of the answer that refuses one: `{ code u16, text string }`. */
export const ERROR_TYPE = 0xff;

/** Why a request was refused. A closed set; the number travels in ERROR. */
export const REFUSALS = {
  /** The bytes are no frame or no such message. The engine closes the connection. */
  malformed: 1,
  /** The text names both versions. The connection stays open. */
  'version-mismatch': 2,
  'unknown-request': 3,
  /** CONFIGURE has to come first. */
  'not-configured': 4,
  /** The engine has another configuration, which holds for its life. */
  'configured-otherwise': 5,
  /** CONFIGURE was in order, and the host refused it (address in use, no such address, another device). */
  'configure-failed': 6,
  /** UPDATE_ROUTES starts from a generation that the engine does not have. */
  'wrong-generation': 7,
  /** A defect in the engine. */
  internal: 8,
} as const;

export type Refusal = keyof typeof REFUSALS;

export interface Frame {
  readonly version: number;
  readonly type: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

/**
 * @param id 0 … 65535
 * @throws CorduroyError `malformed` when the payload is larger than a frame can be
 */
export function encodeFrame(
  type: number,
  id: number,
  payload: Uint8Array,
  version = PROTOCOL_VERSION,
): Uint8Array {
  const length = HEADER_AFTER_LENGTH + payload.length;
  if (length > FRAME_MAX) {
    throw new CorduroyError(
      'malformed',
      `a message of ${payload.length} bytes is larger than ${FRAME_MAX} bytes`,
    );
  }
  const frame = Buffer.allocUnsafe(LENGTH_FIELD + length);
  frame.writeUInt32BE(length, 0);
  frame.writeUInt8(version, 4);
  frame.writeUInt8(type, 5);
  frame.writeUInt16BE(id, 6);
  frame.set(payload, LENGTH_FIELD + HEADER_AFTER_LENGTH);
  return frame;
}

/** Cuts a byte stream into frames, however it was chunked. One a connection. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #held = 0;
  /** Bytes that must be there before there is anything to do, so that a long frame is not joined at every chunk. */
  #needed = LENGTH_FIELD;

  /**
   * The frames that the chunk completes, as they are asked for.
   * @throws CorduroyError `malformed` when a length is out of bounds: the stream is of no use from there on
   */
  *push(chunk: Uint8Array): Generator<Frame, void> {
    this.#chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#held += chunk.length;
    while (this.#held >= this.#needed) {
      const bytes = this.#join();
      const length = bytes.readUInt32BE(0);
      if (length < HEADER_AFTER_LENGTH || length > FRAME_MAX) {
        throw new CorduroyError(
          'malformed',
          `a frame length of ${length} is not in ${HEADER_AFTER_LENGTH} … ${FRAME_MAX}`,
        );
      }
      const end = LENGTH_FIELD + length;
      if (bytes.length < end) {
        this.#needed = end;
        return;
      }
      this.#chunks = [bytes.subarray(end)];
      this.#held = bytes.length - end;
      this.#needed = LENGTH_FIELD;
      yield {
        version: bytes.readUInt8(4),
        type: bytes.readUInt8(5),
        id: bytes.readUInt16BE(6),
        payload: bytes.subarray(LENGTH_FIELD + HEADER_AFTER_LENGTH, end),
      };
    }
  }

  #join(): Buffer {
    const [only] = this.#chunks;
    const joined = only !== undefined && this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}
