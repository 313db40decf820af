import { openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openTun, type TunIo } from '../../../../src/datapath/dgram/tun-device.ts';

type Outcome = string | { readonly code: string };

/** A device that gives these, one a read, and then nothing more. */
function scripted(outcomes: readonly Outcome[]): TunIo {
  const rest = [...outcomes];
  return {
    read(_fd, buffer, done) {
      const outcome = rest.shift();
      if (outcome === undefined) return;
      queueMicrotask(() => {
        if (typeof outcome === 'string') done(null, Buffer.from(outcome).copy(buffer));
        else done(Object.assign(new Error(outcome.code), outcome), 0);
      });
    },
    write: (_fd, bytes) => bytes.length,
  };
}

function collect(outcomes: readonly Outcome[]): { packets: string[]; faults: string[] } {
  const seen = { packets: [] as string[], faults: [] as string[] };
  openTun(3, 'tun0', scripted(outcomes)).start(
    (packet) => seen.packets.push(Buffer.from(packet).toString()),
    (error) => seen.faults.push(error.message),
  );
  return seen;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

describe('a TUN device', () => {
  test.each(['EAGAIN', 'EINTR', 'ENOBUFS'])('%s passes', async (code) => {
    const seen = collect(['one', { code }, { code }, 'two']);
    await pause();
    expect(seen).toEqual({ packets: ['one', 'two'], faults: [] });
  });

  test.each(['EBADFD', 'EIO', 'EFAULT', 'EBADF'])('%s is the end, told once', async (code) => {
    const seen = collect(['one', { code }, 'never']);
    await pause();
    expect(seen).toEqual({ packets: ['one'], faults: [code] });
  });

  test('an end of file is a fault, not a loop', async () => {
    const seen = collect(['one', '', 'never']);
    await pause();
    expect(seen).toEqual({ packets: ['one'], faults: [expect.stringContaining('end of file')] });
  });

  test('nothing is delivered after stop', async () => {
    const tun = openTun(3, 'tun0', scripted(['one']));
    const packets: Uint8Array[] = [];
    tun.start(
      (packet) => packets.push(packet),
      () => {},
    );
    tun.stop();
    await pause();
    expect(packets).toEqual([]);
  });

  test('a descriptor that is no TUN device is named, with the remedy', () => {
    const fd = openSync('/dev/null', 'r');
    expect(() => openTun(fd)).toThrow(/\/dev\/null\) is no TUN device: .*tun-exec/);
    expect(() => openTun(9999)).toThrow(/9999 is not open .*tun-exec/);
  });
});
