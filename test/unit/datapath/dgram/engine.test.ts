import { describe, expect, test } from 'vitest';
import type { EngineConfig, EngineStats, RouteTable } from '../../../../src/datapath/datapath.ts';
import { Engine, type EngineParts } from '../../../../src/datapath/dgram/engine.ts';
import type { OuterSocket } from '../../../../src/datapath/dgram/outer-socket.ts';
import { decodeHello, decodeStats, type Request } from '../../../../src/datapath/messages.ts';
import { Ip } from '../../../../src/net/ip.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import { udpPacket } from '../../../support/packets.ts';

const CONFIG: EngineConfig = {
  tunName: 'tun0',
  mtu: 1400,
  listen: { address: Ip.parse('192.0.2.1'), port: 8285 },
  icmpSources: [Ip.parse('fd00::1'), Ip.parse('10.5.1.0')],
  strictSource: true,
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
function bench(changes: Partial<EngineParts> = {}) {
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
    fromTun: never as (packet: Uint8Array) => void,
    fromOuter: never as (packet: Uint8Array, sender: string) => void,
    tunFault: never as (error: Error) => void,
  };
  const outer: OuterSocket = {
    start(deliver) {
      drive.fromOuter = deliver;
    },
    send(packet, host, port, done) {
      if (drive.sendError === null) seen.sent.push(`${host}:${port} ${packet.length}`);
      done(drive.sendError);
    },
    close() {
      seen.closed++;
    },
  };
  const engine = new Engine({
    build: 'test',
    tun: {
      name: 'tun0',
      start(deliver, fault) {
        drive.fromTun = deliver;
        drive.tunFault = fault;
      },
      write(packet) {
        if (drive.tunError !== undefined) throw drive.tunError;
        seen.written.push(Buffer.from(packet));
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
      await ask({ kind: 'configure', config: CONFIG });
      await ask({ kind: 'replace-routes', table: TABLE });
    },
  };
}

describe('the dgram engine', () => {
  test('gives up root after the socket is open, and before a packet is read', async () => {
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

  test('what gets no answer costs none of the budget', async () => {
    const { configured, drive, seen } = bench();
    await configured();
    const multicast = udpPacket({ source: '10.5.1.7', destination: '239.1.1.1' });
    const v6 = udpPacket({ source: 'fd00::1', destination: 'fd00:9::1' });
    for (let packet = 0; packet < 200; packet++) for (const each of [multicast, v6]) drive.fromTun(each);
    expect(seen.written).toHaveLength(0);
    drive.fromTun(lost);
    expect(seen.written).toHaveLength(1);
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
    drive.tunError = undefined;
    drive.fromOuter(back, '192.0.2.2');
    expect(await stats()).toMatchObject({ drops: { 'in-tun-error': 1n }, peers: [{ receivedPackets: 1n }] });
  });

  test('writes a packet without what was behind it', async () => {
    const { configured, drive, seen } = bench();
    await configured();
    drive.fromOuter(Buffer.concat([back, Buffer.from('padding')]), '192.0.2.2');
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
