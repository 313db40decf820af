import { describe, expect, test } from 'vitest';
import type { EngineConfig, EngineStats, RouteTable } from '../../../../src/datapath/datapath.ts';
import { Engine, type EngineParts } from '../../../../src/datapath/dgram/engine.ts';
import type { OuterSocket } from '../../../../src/datapath/dgram/outer-socket.ts';
import { decodeHello, decodeStats, type Request } from '../../../../src/datapath/messages.ts';
import { Ip } from '../../../../src/net/ip.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import { PLAIN, VIRTIO_HEADER, type VirtioHeader } from '../../../../src/wire/virtio-header.ts';
import { udpPacket } from '../../../support/packets.ts';
import { superPacket, tcpPacket } from '../../wire/tcp-packets.ts';

const CONFIG: EngineConfig = {
  tunName: 'tun0',
  mtu: 1400,
  listen: { address: Ip.parse('192.0.2.1'), port: 8285 },
  icmpSources: [Ip.parse('fd00::1'), Ip.parse('10.5.1.0')],
  strictSource: true,
  offload: true,
  ecn: false,
  queues: 1,
};
const TABLE: RouteTable = {
  generation: 1n,
  local: [Prefix.parse('10.5.1.0/24')],
  routes: [{ prefix: Prefix.parse('10.5.2.0/24'), peer: { address: Ip.parse('192.0.2.2'), port: 8285 } }],
};
const lost = udpPacket({ source: '10.5.1.7', destination: '10.5.99.1' });
const out = udpPacket({ source: '10.5.1.7', destination: '10.5.2.7' });
const back = udpPacket({ source: '10.5.2.7', destination: '10.5.1.7' });

/** An engine between a TUN and a network that are arrays. */
function bench(changes: Partial<EngineParts> = {}, offload = true) {
  const seen = {
    sent: [] as string[],
    written: [] as Buffer[],
    log: [] as string[],
    ended: [] as string[],
    closed: 0,
  };
  const never = () => {
    throw new Error('not started');
  };
  const drive = {
    now: 0,
    tunError: undefined as Error | undefined,
    sendError: null as Error | null,
    fromTun: never as (packet: Uint8Array, header?: VirtioHeader) => void,
    fromOuter: never as (packet: Uint8Array, sender: string) => void,
    /** All that came in a turn of the event loop has come. */
    endOfTurn: never as () => void,
    /** For what is written in pieces, a super packet. */
    piecesError: undefined as Error | undefined,
    tunFault: never as (error: Error) => void,
  };
  const outer: OuterSocket = {
    start(deliver, endOfTurn) {
      drive.fromOuter = deliver;
      drive.endOfTurn = endOfTurn;
    },
    send(packet, host, port, done) {
      if (drive.sendError === null) seen.sent.push(`${host}:${port} ${packet.length}`);
      done(drive.sendError, packet.length);
    },
    close() {
      seen.closed++;
    },
  };
  const engine = new Engine({
    build: 'test',
    tun: {
      name: 'tun0',
      offload,
      start(deliver, fault) {
        drive.fromTun = (packet, header = PLAIN) => deliver(packet, header);
        drive.tunFault = fault;
      },
      write(packet) {
        if (drive.tunError !== undefined) throw drive.tunError;
        seen.written.push(Buffer.from(packet));
      },
      writePieces(pieces) {
        if (drive.piecesError !== undefined) throw drive.piecesError;
        seen.written.push(Buffer.concat(pieces));
      },
      stop() {},
    },
    openOuterSocket: async () => outer,
    dropPrivileges: () => 'runs as nobody',
    now: () => drive.now,
    log: { info: (text) => seen.log.push(text), once: (key, text) => seen.log.push(`once ${key}: ${text}`) },
    end: (why) => seen.ended.push(why),
    ...changes,
  });
  const ask = async (request: Request) => {
    const reply = await engine.handle(request);
    if (reply.kind === 'refused') throw new Error(`${reply.refusal}: ${reply.text}`);
    return reply;
  };
  return {
    engine,
    seen,
    drive,
    ask,
    async stats(): Promise<EngineStats> {
      return decodeStats((await ask({ kind: 'stats' })).payload ?? new Uint8Array());
    },
    async configured() {
      await ask({ kind: 'configure', config: { ...CONFIG, offload } });
      await ask({ kind: 'replace-routes', table: TABLE });
    },
  };
}

describe('the dgram engine', () => {
  test('gives up root after the socket is open, and before a packet is read, which is with the first table', async () => {
    const order: string[] = [];
    const { ask, drive } = bench({
      openOuterSocket: async () => {
        order.push('open');
        return { start: () => order.push('start'), send: () => {}, close: () => {} };
      },
      dropPrivileges: () => {
        order.push(`drop, reading: ${drive.fromTun.name !== 'never'}`);
        return '';
      },
    });
    await ask({ kind: 'configure', config: CONFIG });
    expect(order).toEqual(['open', 'drop, reading: false']);
    await ask({ kind: 'replace-routes', table: TABLE });
    expect(order).toEqual(['open', 'drop, reading: false', 'start']);
  });

  test('that cannot give up root forwards nothing, says so, and ends', async () => {
    const { ask, seen, drive } = bench({
      dropPrivileges: () => {
        throw new Error('no such user');
      },
    });
    await expect(ask({ kind: 'configure', config: CONFIG })).rejects.toThrow(
      /configure-failed: .*no such user/,
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toMatchObject({ ended: ['privileges'], closed: 1 });
    expect(() => drive.fromTun(out)).toThrow('not started');
  });

  test('an address that cannot be listened on leaves it idle', async () => {
    let attempts = 0;
    const { ask } = bench({
      openOuterSocket: async () => {
        attempts++;
        throw new Error('address in use');
      },
    });
    await expect(ask({ kind: 'configure', config: CONFIG })).rejects.toThrow(
      /configure-failed: address in use/,
    );
    expect(decodeHello((await ask({ kind: 'hello' })).payload ?? new Uint8Array()).config).toBeUndefined();
    await expect(ask({ kind: 'configure', config: CONFIG })).rejects.toThrow(/address in use/);
    expect(attempts).toBe(2);
  });

  test('answers what has no route from its IPv4 address, at most 100 times at once', async () => {
    const { configured, drive, seen, stats } = bench();
    await configured();
    for (let packet = 0; packet < 150; packet++) drive.fromTun(lost);
    expect(seen.written).toHaveLength(100);
    expect(Ip.fromBytes(4, seen.written[0] ?? Buffer.alloc(20), 12).toString()).toBe('10.5.1.0');
    drive.now = 50;
    for (let packet = 0; packet < 10; packet++) drive.fromTun(lost);
    expect(seen.written).toHaveLength(105);
    expect((await stats()).drops['out-no-route']).toBe(160n);
  });

  test('answers IPv6 from its IPv6 address', async () => {
    const { configured, drive, seen } = bench();
    await configured();
    drive.fromTun(udpPacket({ source: 'fd00::7', destination: 'fd00:9::1' }));
    expect(Ip.fromBytes(6, seen.written[0] ?? Buffer.alloc(40), 8).toString()).toBe('fd00::1');
    expect(seen.written[0]?.[40]).toBe(1);
  });

  test('what is too big is answered with the MTU, in either family', async () => {
    const { configured, drive, seen, stats } = bench();
    await configured();
    const payload = Buffer.alloc(1400);
    drive.fromTun(udpPacket({ source: '10.5.1.7', destination: '10.5.2.7', payload }));
    drive.fromTun(udpPacket({ source: 'fd00::7', destination: 'fd00:9::1', payload }));
    expect(
      seen.written.map((answer) => answer.subarray(answer[0] === 0x45 ? 20 : 40).subarray(0, 2)),
    ).toEqual([Buffer.from([3, 4]), Buffer.from([2, 0])]);
    expect(seen.written[0]?.readUInt16BE(26)).toBe(1400);
    expect(seen.written[1]?.readUInt32BE(44)).toBe(1400);
    expect((await stats()).drops['out-too-big']).toBe(2n);
  });

  test('what gets no answer costs none of the budget', async () => {
    const { configured, drive, seen } = bench();
    await configured();
    const multicast = udpPacket({ source: '10.5.1.7', destination: '239.1.1.1' });
    const v6 = udpPacket({ source: 'fd00::1', destination: 'ff0e::1' });
    for (let packet = 0; packet < 200; packet++) for (const each of [multicast, v6]) drive.fromTun(each);
    expect(seen.written).toHaveLength(0);
    drive.fromTun(lost);
    expect(seen.written).toHaveLength(1);
  });

  test('a super packet is sent, counted and dropped as the segments that it stands for', async () => {
    const { configured, drive, seen, stats } = bench();
    await configured();
    const flow = { source: '10.5.1.7', destination: '10.5.2.7', payload: Buffer.alloc(2500, 'x') };
    const good = superPacket(flow, 1000);
    drive.fromTun(good.bytes, good.header);
    expect(seen.sent).toEqual(['192.0.2.2:8285 1040', '192.0.2.2:8285 1040', '192.0.2.2:8285 540']);
    for (const each of [superPacket({ ...flow, destination: '10.5.99.1' }, 1000), superPacket(flow, 1361)])
      drive.fromTun(each.bytes, each.header);
    drive.fromTun(good.bytes, { ...good.header, checksumStart: 24 });
    expect(await stats()).toMatchObject({
      drops: { 'out-no-route': 3n, 'out-too-big': 2n, 'out-truncated': 1n },
      peers: [{ sentPackets: 3n, sentBytes: 2620n }],
    });
    // What is quoted is the first segment, with its own length.
    expect(seen.written.map((answer) => answer.readUInt16BE(28 + 2))).toEqual([1040, 1401]);
  });

  describe('segments that come in one turn', () => {
    const segment = (index: number) =>
      tcpPacket({
        source: '10.5.2.7',
        destination: '10.5.1.7',
        payload: Buffer.alloc(1000, index),
        sequence: index * 1000,
        id: index,
      });
    const peers = [{ receivedPackets: 3n, receivedBytes: 3120n }];

    test('are written as one', async () => {
      const { configured, drive, seen, stats } = bench();
      await configured();
      for (const index of [0, 1, 2]) drive.fromOuter(segment(index), '192.0.2.2');
      expect(seen.written).toEqual([]);
      drive.endOfTurn();
      expect(seen.written.map((bytes) => bytes.length)).toEqual([VIRTIO_HEADER + 3040]);
      expect(await stats()).toMatchObject({ peers });
    });

    test('do not wait for it when they are many', async () => {
      const { configured, drive, seen } = bench();
      await configured();
      for (let index = 0; index < 65; index++) drive.fromOuter(segment(index), '192.0.2.2');
      expect(seen.written.map((bytes) => bytes.length)).toEqual([VIRTIO_HEADER + 40 + 64_000]);
      drive.endOfTurn();
      expect(seen.written).toHaveLength(2);
    });

    test.each(['EINVAL', 'EIO'])(
      'are written one by one to a device that refuses (%s) them joined',
      async (code) => {
        const { configured, drive, seen, stats } = bench();
        await configured();
        drive.piecesError = Object.assign(new Error(code), { code });
        for (const index of [0, 1, 2]) drive.fromOuter(segment(index), '192.0.2.2');
        drive.endOfTurn();
        drive.piecesError = undefined;
        for (const index of [3, 4, 5]) drive.fromOuter(segment(index), '192.0.2.2');
        expect(seen.written).toEqual([0, 1, 2, 3, 4, 5].map(segment));
        const { offloads, drops } = await stats();
        expect(offloads[0]).toEqual({
          offload: 'tun-tso',
          state: 'lost',
          reason: expect.stringContaining(code),
        });
        expect(drops['in-tun-error']).toBe(0n);
        expect(seen.log.filter((line) => line.includes('joined'))).toHaveLength(1);
      },
    );

    test('are lost with the device that is down, and the offload is not', async () => {
      const { configured, drive, stats } = bench();
      await configured();
      drive.piecesError = drive.tunError = Object.assign(new Error('EIO'), { code: 'EIO' });
      for (const index of [0, 1, 2]) drive.fromOuter(segment(index), '192.0.2.2');
      drive.endOfTurn();
      const { offloads, drops } = await stats();
      expect(drops['in-tun-error']).toBe(3n);
      expect(offloads[0]).toMatchObject({ state: 'on' });
    });

    test('are written one by one, at once, without offload', async () => {
      const { configured, drive, seen, stats } = bench({}, false);
      await configured();
      for (const index of [0, 1, 2]) drive.fromOuter(segment(index), '192.0.2.2');
      expect(seen.written).toEqual([0, 1, 2].map(segment));
      const { offloads } = await stats();
      expect(offloads[0]).toEqual({ offload: 'tun-tso', state: 'off', reason: 'offload is switched off' });
    });
  });

  test.each([
    ['offload, started without', { offload: true }, false, /without --vnet-hdr/],
    ['no offload, started with', { offload: false }, true, /with --vnet-hdr/],
    ['ECN', { ecn: true }, true, /ECN/],
    ['more than one queue', { queues: 2 }, true, /1 queue, not 2/],
    ['another device', { tunName: 'tun9' }, true, /tun0, not tun9/],
  ])('refuses to be configured with %s', async (_what, change, offload, text) => {
    const { ask, seen } = bench({}, offload);
    const config = { ...CONFIG, offload, ...change };
    await expect(ask({ kind: 'configure', config })).rejects.toThrow(/^configure-failed/);
    await expect(ask({ kind: 'configure', config })).rejects.toThrow(text);
    expect(seen.ended).toEqual([]);
    await ask({ kind: 'configure', config: { ...CONFIG, offload } });
  });

  test('counts what the socket refuses as a drop, not as sent', async () => {
    const { configured, drive, seen, stats } = bench();
    await configured();
    drive.sendError = Object.assign(new Error('send ENETUNREACH 192.0.2.2:8285'), { code: 'ENETUNREACH' });
    drive.fromTun(out);
    drive.sendError = null;
    drive.fromTun(out);
    expect(await stats()).toMatchObject({
      drops: { 'out-send-error': 1n },
      peers: [{ sentPackets: 1n, sentBytes: BigInt(out.length) }],
    });
    expect(seen.log.at(-1)).toMatch(/^once send 192\.0\.2\.2 ENETUNREACH/);
  });

  test('counts what the device refuses as a drop, not as received', async () => {
    const { configured, drive, stats } = bench();
    await configured();
    drive.tunError = Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' });
    drive.fromOuter(back, '192.0.2.2');
    drive.endOfTurn();
    drive.tunError = undefined;
    drive.fromOuter(back, '192.0.2.2');
    drive.endOfTurn();
    expect(await stats()).toMatchObject({ drops: { 'in-tun-error': 1n }, peers: [{ receivedPackets: 1n }] });
  });

  test('writes a packet without what was behind it', async () => {
    const { configured, drive, seen } = bench();
    await configured();
    drive.fromOuter(Buffer.concat([back, Buffer.from('padding')]), '192.0.2.2');
    drive.endOfTurn();
    expect(seen.written).toEqual([back]);
  });

  test('a change to the wrong generation is refused as that', async () => {
    const { configured, ask } = bench();
    await configured();
    const delta = { from: 9n, to: 10n, remove: [], set: [] };
    await expect(ask({ kind: 'update-routes', delta })).rejects.toThrow(/^wrong-generation/);
  });

  test('ends after the answer to SHUTDOWN, and when the device is gone', async () => {
    const asked = bench();
    await asked.configured();
    const reply = await asked.ask({ kind: 'shutdown' });
    expect(asked.seen.ended).toEqual([]);
    reply.afterwards?.();
    expect(asked.seen).toMatchObject({ ended: ['asked'], closed: 1 });

    const bereft = bench();
    await bereft.configured();
    bereft.drive.tunFault(new Error('EBADFD'));
    expect(bereft.seen).toMatchObject({ ended: ['tun-fault'], closed: 1 });
    expect(bereft.seen.log.at(-1)).toMatch(/tun0 is gone \(EBADFD\)/);
  });
});
