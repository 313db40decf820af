import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectDatapath, shutdownDatapath } from '../../../src/datapath/client.ts';
import { encodeError, encodeHello } from '../../../src/datapath/messages.ts';
import {
  ERROR_TYPE,
  encodeFrame,
  type Frame,
  FrameReader,
  PROTOCOL_VERSION,
  REQUEST_TYPES,
  RESPONSE_BIT,
} from '../../../src/datapath/protocol.ts';

const HELLO = encodeHello({ engine: 'fake', build: '0', pid: 42, config: undefined });

/** Ends without removing its socket, as an engine does that was killed. */
const LEAVE_SOCKET =
  "require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))";

/** An engine that does as the test says; HELLO is answered as it should be. */
describe('connectDatapath', () => {
  let folder: string;
  let path: string;
  let server: Server | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
    path = join(folder, 's');
  });
  afterEach(() => {
    server?.close();
    server = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  async function engine(answer: (socket: Socket, frame: Frame) => void): Promise<void> {
    const listening = createServer((socket) => {
      const frames = new FrameReader();
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        for (const frame of frames.push(chunk)) answer(socket, frame);
      });
    }).listen(path);
    server = listening;
    await new Promise((resolve) => listening.once('listening', resolve));
  }

  function politely(then: (socket: Socket, frame: Frame) => void) {
    return (socket: Socket, frame: Frame) => {
      if (frame.type === REQUEST_TYPES.hello) {
        socket.write(encodeFrame(REQUEST_TYPES.hello | RESPONSE_BIT, frame.id, HELLO));
      } else then(socket, frame);
    };
  }

  test.each<[string, () => void]>([
    ['no socket file', () => {}],
    ['a socket file that was left behind', () => spawnSync(process.execPath, ['-e', LEAVE_SOCKET, path])],
  ])('nobody there, %s: says so, and that it may be tried again', async (_what, arrange) => {
    arrange();
    await expect(connectDatapath(path)).rejects.toMatchObject({
      code: 'datapath',
      retryable: true,
      message: expect.stringMatching(/no data plane answers at .*\/s .*: start it/),
    });
  });

  test('a path that cannot be one: nothing that a start of the engine would mend', async () => {
    writeFileSync(path, '');
    await expect(connectDatapath(join(path, 's'))).rejects.toMatchObject({
      code: 'datapath',
      retryable: false,
      message: expect.stringMatching(/cannot be connected to .*ENOTDIR/),
    });
  });

  test('a refusal is not taken for nobody', async () => {
    const error = encodeError('internal', 'not today');
    await engine((socket, { id }) => socket.write(encodeFrame(ERROR_TYPE, id, error)));
    await expect(connectDatapath(path)).rejects.toMatchObject({
      code: 'datapath',
      retryable: false,
      message: expect.stringMatching(/refused hello: not today/),
    });
  });

  test('an engine that hangs up on HELLO is not taken for nobody', async () => {
    await engine((socket) => socket.destroy());
    await expect(connectDatapath(path)).rejects.toMatchObject({ code: 'datapath', retryable: false });
  });

  test('an engine that never answers', async () => {
    await engine(() => {});
    await expect(connectDatapath(path, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'datapath',
      retryable: false,
      message: expect.stringMatching(
        /did not answer hello within .* ms: it is stuck; replace it: corduroy datapath restart/,
      ),
    });
  });

  test('an answer that is too late is let go, and the next request has its own', async () => {
    let late: (() => void) | undefined;
    await engine(
      politely((socket, frame) => {
        if (late === undefined) {
          late = () => socket.write(encodeFrame(frame.type | RESPONSE_BIT, frame.id, Buffer.from('stale')));
        } else {
          late();
          socket.write(encodeFrame(frame.type | RESPONSE_BIT, frame.id, new Uint8Array(0)));
        }
      }),
    );
    const datapath = await connectDatapath(path, { timeoutMs: 100 });
    await expect(datapath.stats()).rejects.toThrow(/did not answer stats/);
    await datapath.replaceRoutes({ generation: 1n, local: [], routes: [] });
    datapath.close();
  });

  test('an engine that goes away: what waits fails, what comes after fails, and closed resolves', async () => {
    await engine(politely((socket) => socket.destroy()));
    const datapath = await connectDatapath(path);
    await expect(Promise.all([datapath.stats(), datapath.stats()])).rejects.toMatchObject({
      code: 'datapath',
    });
    await datapath.closed;
    await expect(datapath.stats()).rejects.toThrow(/closed the connection/);
  });

  test('an engine that agrees to end and does not: the pid to end by hand', async () => {
    await engine(
      politely((socket, { type, id }) =>
        socket.write(encodeFrame(type | RESPONSE_BIT, id, new Uint8Array(0))),
      ),
    );
    const datapath = await connectDatapath(path, { timeoutMs: 50 });
    await expect(datapath.shutdown()).rejects.toThrow(/end process 42 by hand/);
    datapath.close();
  });

  test.each<[string, (frame: Frame) => Uint8Array, RegExp]>([
    [
      'another version',
      ({ type, id }) => encodeFrame(type | RESPONSE_BIT, id, HELLO, 9),
      /version 9 .* this program version 2: .* corduroy datapath restart/,
    ],
    [
      'a refusal for its version',
      ({ id }) => encodeFrame(ERROR_TYPE, id, encodeError('version-mismatch', 'no'), 1),
      /version 1 .* this program version 2: it goes on forwarding .* corduroy datapath restart/,
    ],
    ['another answer', ({ id }) => encodeFrame(0x99, id, HELLO), /answered hello with a frame of type 153/],
    [
      'an answer that ends too early',
      ({ type, id }) => encodeFrame(type | RESPONSE_BIT, id, HELLO.subarray(1)),
      /something else than version 2/,
    ],
    ['no frame at all', () => Buffer.from('HTTP/1.1 400 Bad Request\r\n'), /is it a data plane\?/],
    ['an ERROR that is none', ({ id }) => encodeFrame(0xff, id, Uint8Array.of(1)), /is it a data plane\?/],
  ])('%s', async (_what, answer, says) => {
    await engine((socket, frame) => socket.write(answer(frame)));
    await expect(connectDatapath(path)).rejects.toMatchObject({
      code: 'datapath',
      retryable: false,
      message: expect.stringMatching(says),
    });
  });

  describe('shutdownDatapath', () => {
    const NOTHING = new Uint8Array(0);
    const versionError = encodeError('version-mismatch', 'another version');

    test.each([
      ['of this version', PROTOCOL_VERSION, false],
      ['of a newer version, which grants it in any', 9, false],
      ['of version 1, which grants it in its own alone', 1, true],
    ])('ends an engine %s, without a greeting', async (_what, version, particular) => {
      const seen: number[] = [];
      await engine((socket, frame) => {
        seen.push(frame.type);
        if (frame.type !== REQUEST_TYPES.shutdown || (particular && frame.version !== version)) {
          socket.write(encodeFrame(ERROR_TYPE, frame.id, versionError, version));
        } else {
          socket.end(encodeFrame(frame.type | RESPONSE_BIT, frame.id, NOTHING, version));
        }
      });
      await shutdownDatapath(path);
      expect(new Set(seen)).toEqual(new Set([REQUEST_TYPES.shutdown]));
    });

    test('an engine that refuses, and one that stays', async () => {
      let agree = false;
      await engine((socket, { type, id }) => {
        const refusal = encodeError('internal', 'not today');
        socket.write(
          agree ? encodeFrame(type | RESPONSE_BIT, id, NOTHING) : encodeFrame(ERROR_TYPE, id, refusal),
        );
      });
      await expect(shutdownDatapath(path)).rejects.toThrow(/refused shutdown: not today/);
      agree = true;
      await expect(shutdownDatapath(path, { timeoutMs: 50 })).rejects.toThrow(/still there: end its process/);
    });

    test('nobody there: retryable', async () => {
      await expect(shutdownDatapath(path)).rejects.toMatchObject({ code: 'datapath', retryable: true });
    });
  });

  test('a value that does not fit the protocol is refused before it is sent', async () => {
    let requests = 0;
    await engine(politely(() => requests++));
    const datapath = await connectDatapath(path);
    await expect(datapath.replaceRoutes({ generation: -1n, local: [], routes: [] })).rejects.toMatchObject({
      code: 'datapath',
      message: expect.stringMatching(/cannot be sent replace-routes: -1 does not fit/),
    });
    expect(requests).toBe(0);
    datapath.close();
    await datapath.closed;
  });
});
