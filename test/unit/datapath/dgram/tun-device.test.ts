import { openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openTun, type TunIo } from '../../../../src/datapath/dgram/tun-device.ts';
import { PLAIN, VIRTIO_HEADER, writeVirtioHeader } from '../../../../src/wire/virtio-header.ts';

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
    writev: (_fd, pieces) => pieces.length,
  };
}

function collect(outcomes: readonly Outcome[]): { packets: string[]; faults: string[] } {
  const seen = { packets: [] as string[], faults: [] as string[] };
  openTun(3, { offload: false, name: 'tun0', io: scripted(outcomes) }).start(
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
    const tun = openTun(3, { offload: false, name: 'tun0', io: scripted(['one']) });
    const packets: Uint8Array[] = [];
    tun.start(
      (packet) => packets.push(packet),
      () => {},
    );
    tun.stop();
    await pause();
    expect(packets).toEqual([]);
  });

  test('with offload, a virtio header precedes what is read and written', async () => {
    const header = { ...PLAIN, flags: 1, checksumStart: 20, checksumOffset: 16 };
    const bytes = Buffer.alloc(VIRTIO_HEADER + 3, 'abc');
    writeVirtioHeader(header, bytes);
    bytes.write('one', VIRTIO_HEADER);
    const written: Buffer[] = [];
    const io: TunIo = {
      ...scripted([bytes.toString('latin1')]),
      writev: (_fd, pieces) => written.push(Buffer.concat(pieces)),
    };
    const tun = openTun(3, { offload: true, name: 'tun0', io });
    const seen: unknown[] = [];
    tun.start(
      (packet, each) => seen.push([Buffer.from(packet).toString(), each]),
      () => {},
    );
    tun.write(Buffer.from('two'));
    tun.writePieces([Buffer.from('th'), Buffer.from('ree')]);
    await pause();
    expect(seen).toEqual([['one', header]]);
    expect(written).toEqual([
      Buffer.concat([Buffer.alloc(VIRTIO_HEADER), Buffer.from('two')]),
      Buffer.from('three'),
    ]);
  });

  test('the next read waits while a packet is dealt with, and does not touch it', async () => {
    let reads = 0;
    const io = scripted(['one', 'two', 'three']);
    const tun = openTun(3, {
      offload: false,
      name: 'tun0',
      io: {
        ...io,
        read(...args) {
          reads++;
          io.read(...args);
        },
      },
    });
    const seen: [string, number][] = [];
    tun.start(
      (packet) => seen.push([Buffer.from(packet).toString(), reads]),
      () => {},
    );
    await pause();
    expect(seen).toEqual([
      ['one', 2],
      ['two', 3],
      ['three', 4],
    ]);
  });

  test('a descriptor that is no TUN device is named, with the remedy', () => {
    const fd = openSync('/dev/null', 'r');
    expect(() => openTun(fd)).toThrow(/\/dev\/null\) is no TUN device: .*tun-exec/);
    expect(() => openTun(9999)).toThrow(/9999 is not open .*tun-exec/);
  });
});
