import { createConnection, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { decodeError, decodeHello } from '../../../src/datapath/messages.ts';
import {
  ERROR_TYPE,
  encodeFrame,
  type Frame,
  FrameReader,
  PROTOCOL_VERSION,
  REQUEST_TYPES,
  RESPONSE_BIT,
} from '../../../src/datapath/protocol.ts';
import { type EngineLab, HOST, PEER_A, PORT } from './engine-lab.ts';

const NOTHING = new Uint8Array(0);

/** A connection without the manners of the client. */
class RawControl {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  readonly #frames: Frame[] = [];
  #arrived: () => void = () => {};

  constructor(path: string) {
    this.socket = createConnection(path);
    this.socket.on('error', () => {}); // EPIPE, where the engine hangs up on garbage that is still being sent
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    const reader = new FrameReader();
    this.socket.on('data', (chunk) => {
      this.#frames.push(...reader.push(chunk));
      this.#arrived();
    });
  }

  async next(): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) return frame;
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }
}

/** What an engine makes of bytes that no client of ours would send. */
export function describeControlSocket(lab: () => EngineLab): void {
  const garbage: readonly [string, Uint8Array][] = [
    ['a length of zero', Buffer.from('00000000', 'hex')],
    ['a length beyond all bounds', Buffer.from('ffffffff01010001', 'hex')],
    ['text of another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a HELLO with something behind it', encodeFrame(REQUEST_TYPES.hello, 1, Buffer.from('x'))],
    ['a CONFIGURE of nothing', encodeFrame(REQUEST_TYPES.configure, 1, NOTHING)],
    ['a table that ends too early', encodeFrame(REQUEST_TYPES['replace-routes'], 1, Buffer.alloc(16, 0xff))],
    ['a count that lies', encodeFrame(REQUEST_TYPES['update-routes'], 1, Buffer.alloc(20, 0xff))],
  ];

  test.each(garbage)(
    '%s: an ERROR, the end of that connection, and no harm to anything else',
    async (_what, bytes) => {
      const datapath = await lab().connectConfigured();
      for (let repeated = 0; repeated < 2; repeated++) {
        const raw = new RawControl(lab().socketPath);
        raw.socket.write(bytes);
        const answer = await raw.next();
        expect(answer.type).toBe(ERROR_TYPE);
        expect(decodeError(answer.payload).refusal).toBe('malformed');
        await raw.closed;
      }
      const peer = await lab().agent.open(PEER_A.outer, PORT);
      const local = await lab().agent.open(HOST.inner);
      local.send(Buffer.from('still there'), PEER_A.inner, 9);
      expect((await peer.next()).bytes.subarray(28).toString()).toBe('still there');
      expect(await datapath.stats()).toMatchObject({ generation: 7n });
      expect(lab().log.match(/malformed request/g)).toHaveLength(1);
    },
  );

  test('a request of another version: an ERROR that names both, and the connection stays', async () => {
    await lab().connect();
    const raw = new RawControl(lab().socketPath);
    raw.socket.write(encodeFrame(REQUEST_TYPES.hello, 5, NOTHING, 9));
    const answer = await raw.next();
    expect(answer).toMatchObject({ type: ERROR_TYPE, id: 5, version: PROTOCOL_VERSION });
    expect(decodeError(answer.payload)).toEqual({
      refusal: 'version-mismatch',
      text: expect.stringMatching(/version 9.*version 2/),
    });
    raw.socket.write(encodeFrame(REQUEST_TYPES.hello, 6, NOTHING));
    expect(await raw.next()).toMatchObject({ type: REQUEST_TYPES.hello | RESPONSE_BIT, id: 6 });
    raw.socket.destroy();
  });

  test('SHUTDOWN is granted in any version: a program of another version can end the engine', async () => {
    await lab().connect();
    const raw = new RawControl(lab().socketPath);
    raw.socket.write(encodeFrame(REQUEST_TYPES.shutdown, 5, NOTHING, 9));
    expect(await raw.next()).toMatchObject({ type: REQUEST_TYPES.shutdown | RESPONSE_BIT, id: 5 });
    await raw.closed;
    expect(await lab().ended()).toEqual({ code: null, signal: 'SIGTERM' });
  });

  test('a request of no known type: an ERROR, and the connection stays', async () => {
    await lab().connect();
    const raw = new RawControl(lab().socketPath);
    raw.socket.write(
      Buffer.concat([encodeFrame(77, 1, Buffer.from('x')), encodeFrame(REQUEST_TYPES.hello, 2, NOTHING)]),
    );
    const refused = await raw.next();
    expect(decodeError(refused.payload).refusal).toBe('unknown-request');
    expect(decodeHello((await raw.next()).payload).pid).toBe(lab().pid);
    raw.socket.destroy();
  });

  test('frames in pieces, and several in one piece, are answered in order', async () => {
    await lab().connect();
    const raw = new RawControl(lab().socketPath);
    raw.socket.setNoDelay(true);
    for (const byte of encodeFrame(REQUEST_TYPES.hello, 1, NOTHING)) {
      await new Promise<void>((resolve) => raw.socket.write(Uint8Array.of(byte), () => resolve()));
    }
    raw.socket.write(Buffer.concat([2, 3, 4].map((id) => encodeFrame(REQUEST_TYPES.stats, id, NOTHING))));
    const answers = [await raw.next(), await raw.next(), await raw.next(), await raw.next()];
    expect(answers.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    raw.socket.destroy();
  });

  test('a client that hangs up in the middle of a frame is no matter', async () => {
    const datapath = await lab().connect();
    const raw = new RawControl(lab().socketPath);
    raw.socket.end(encodeFrame(REQUEST_TYPES['replace-routes'], 1, Buffer.alloc(100)).subarray(0, 50));
    await raw.closed;
    expect(await datapath.stats()).toMatchObject({ generation: 0n });
  });
}
