import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { replaceEngine } from '../../../src/cli/datapath.ts';
import type { EngineStatus, StatusDocument } from '../../../src/daemon/status.ts';
import { shutdownDatapath } from '../../../src/datapath/client.ts';
import { encodeFrame, FrameReader, REQUEST_TYPES, RESPONSE_BIT } from '../../../src/datapath/protocol.ts';
import { CorduroyError } from '../../../src/errors.ts';

function engineStatus(pid: number, ready = true): EngineStatus {
  return { name: 'native', build: '0.1.0', pid, routes: 3, ready, drops: {}, offloads: [] };
}

/** A daemon that has an engine of pid 1, and after its end goes through the given states, the last of which stays. */
async function host(states: readonly (EngineStatus | undefined)[], running: EngineStatus | undefined) {
  const folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 's');
  const machine = { path, asked: 0, ended: false };
  const server = createServer((socket) => {
    const frames = new FrameReader();
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      for (const { type, id } of frames.push(chunk)) {
        expect(type).toBe(REQUEST_TYPES.shutdown);
        socket.end(encodeFrame(type | RESPONSE_BIT, id, new Uint8Array(0)));
        machine.ended = true;
      }
    });
  }).listen(path);
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const readStatus = async () => {
    const engine = machine.ended ? states[Math.min(machine.asked++, states.length - 1)] : running;
    return { problems: ['it does not start'], ...(engine && { engine }) } as unknown as StatusDocument;
  };
  return Object.assign(machine, { readStatus });
}

const stop = (path: string) => () =>
  shutdownDatapath(path).then(
    () => true,
    () => false,
  );

describe('corduroy datapath restart', () => {
  test('waits for another engine that holds the table', async () => {
    const states = [engineStatus(1), undefined, engineStatus(2, false), engineStatus(2)];
    const machine = await host(states, engineStatus(1));
    const { before, after, outageMs } = await replaceEngine(stop(machine.path), machine.readStatus, 10);
    expect([before?.pid, after.pid, after.ready, machine.asked]).toEqual([1, 2, true, 4]);
    expect(outageMs).toBeGreaterThanOrEqual(0);
  });

  test('one that the daemon is not connected to, of another version, is replaced as well', async () => {
    const machine = await host([undefined, engineStatus(2)], undefined);
    const { before, after } = await replaceEngine(stop(machine.path), machine.readStatus, 10);
    expect([before, after.pid, machine.ended]).toEqual([null, 2, true]);
  });

  test('none runs: waits for the one that the daemon starts, and there was no outage to speak of', async () => {
    let looks = 0;
    const readStatus = async () => {
      looks++;
      return { problems: [], ...(looks > 2 && { engine: engineStatus(2) }) } as unknown as StatusDocument;
    };
    const result = await replaceEngine(stop('/nonexistent/datapath.sock'), readStatus, 10);
    expect(result).toMatchObject({ before: null, after: { pid: 2 }, outageMs: null });
  });

  test('no daemon: nothing is done, and it says why', async () => {
    const machine = await host([], engineStatus(1));
    const readStatus = async () => {
      throw new CorduroyError('no-daemon', 'corduroyd does not answer');
    };
    await expect(replaceEngine(stop(machine.path), readStatus, 10)).rejects.toMatchObject({
      code: 'no-daemon',
      message: expect.stringMatching(/does not answer\. The data plane was left as it is/),
    });
    expect(machine.ended).toBe(false);
  });

  test('the kernel carries the packets: nothing is ended, nothing is waited for', async () => {
    const machine = await host([], engineStatus(1));
    const readStatus = async () => ({ problems: [], carriedBy: 'kernel' }) as unknown as StatusDocument;
    await expect(replaceEngine(stop(machine.path), readStatus, 10)).rejects.toThrow(
      /backend has no data plane process/,
    );
    expect(machine.ended).toBe(false);
  });

  test('no new one comes: the time is up, with what the daemon says', async () => {
    const machine = await host([undefined], engineStatus(1));
    await expect(replaceEngine(stop(machine.path), machine.readStatus, 0.05)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/no new data plane after 0\.05 s: it does not start/),
    });
  });
});
