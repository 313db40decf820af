import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeError,
  decodeHello,
  decodeRequest,
  decodeStats,
  encodeConfig,
  encodeError,
  encodeHello,
  encodeRequest,
  encodeStats,
  noDrops,
  type Request,
} from '../../../src/datapath/messages.ts';
import { REFUSALS, REQUEST_TYPES, type Refusal } from '../../../src/datapath/protocol.ts';
import { isCode } from '../../../src/errors.ts';
import { Ip } from '../../../src/net/ip.ts';
import * as arbitrary from './arbitraries.ts';

const request: fc.Arbitrary<Request> = fc.oneof(
  fc.constantFrom<Request>({ kind: 'hello' }, { kind: 'stats' }, { kind: 'shutdown' }),
  arbitrary.config.map((config): Request => ({ kind: 'configure', config })),
  arbitrary.table.map((table): Request => ({ kind: 'replace-routes', table })),
  arbitrary.delta.map((delta): Request => ({ kind: 'update-routes', delta })),
);
const CONFIG = {
  tunName: 'corduroy0',
  mtu: 1472,
  listen: { address: Ip.parse('192.0.2.1'), port: 8285 },
  icmpSources: [Ip.parse('10.5.1.0'), Ip.parse('fd00::1')],
  strictSource: true,
  offload: true,
  ecn: false,
  queues: 4,
};

describe('requests', () => {
  test('come back the same', () => {
    fc.assert(
      fc.property(request, (original) => {
        expect(decodeRequest(REQUEST_TYPES[original.kind], encodeRequest(original))).toEqual(original);
      }),
    );
  });

  test('CONFIGURE has the bytes of the diagram', () => {
    expect(Buffer.from(encodeConfig(CONFIG)).toString('hex')).toBe(
      '0009' +
        Buffer.from('corduroy0').toString('hex') + // TUN
        '000005c0' + // MTU
        '04205dc0000201' + // listen: family, port, address
        '02' +
        '040a050100' +
        '06fd000000000000000000000000000001' + // ICMP sources
        '03' + // strictSource, offload
        '04', // queues
    );
  });

  test('a message that is cut short or too long is malformed', () => {
    fc.assert(
      fc.property(request, fc.nat(), (original, cut) => {
        const type = REQUEST_TYPES[original.kind];
        const bytes = encodeRequest(original);
        const malformed = expect.objectContaining({ code: 'malformed' });
        expect(() => decodeRequest(type, Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(malformed);
        if (bytes.length > 0)
          expect(() => decodeRequest(type, bytes.subarray(0, cut % bytes.length))).toThrow(malformed);
      }),
    );
  });

  test('garbage, and a message with one wrong byte, is understood or malformed, and nothing else', () => {
    const damaged = fc.tuple(request, fc.nat(), fc.nat(255)).map(([original, place, byte]) => {
      const bytes = Uint8Array.from(encodeRequest(original));
      if (bytes.length > 0) bytes[place % bytes.length] = byte;
      return [REQUEST_TYPES[original.kind], bytes] as const;
    });
    const garbage = fc.tuple(fc.nat(8), fc.uint8Array({ maxLength: 200 }));
    fc.assert(
      fc.property(fc.oneof(damaged, garbage), ([type, bytes]) => {
        for (const decode of [
          () => decodeRequest(type, bytes),
          () => decodeHello(bytes),
          () => decodeStats(bytes),
          () => decodeError(bytes),
        ]) {
          try {
            decode();
          } catch (error) {
            expect(isCode(error, 'malformed')).toBe(true);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('an unknown type is none of ours', () => {
    expect(decodeRequest(99, Buffer.from('anything'))).toBeUndefined();
  });

  test.each([
    ['an MTU below 68', { ...CONFIG, mtu: 67 }],
    ['an MTU above 65507', { ...CONFIG, mtu: 65_508 }],
    ['no queue', { ...CONFIG, queues: 0 }],
    ['17 queues', { ...CONFIG, queues: 17 }],
    ['no device name', { ...CONFIG, tunName: '' }],
    ['a device name that is too long', { ...CONFIG, tunName: 'a234567890123456' }],
  ])('%s is malformed to the reader', (_what, config) => {
    const bytes = encodeConfig(config);
    expect(() => decodeRequest(REQUEST_TYPES.configure, bytes)).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
  });

  test.each([
    ['port 0', { ...CONFIG, listen: { ...CONFIG.listen, port: 0 } }],
    ['port 65536', { ...CONFIG, listen: { ...CONFIG.listen, port: 65_536 } }],
    ['a broken MTU', { ...CONFIG, mtu: 1400.5 }],
    ['a negative MTU', { ...CONFIG, mtu: -1 }],
  ])('%s is malformed to the writer', (_what, config) => {
    expect(() => encodeConfig(config)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('host bits, an unknown family, and an unknown flag are malformed', () => {
    const table = (prefix: string) => Buffer.from(`0000000000000001${'00000001'}${prefix}00000000`, 'hex');
    const decode = (prefix: string) => decodeRequest(REQUEST_TYPES['replace-routes'], table(prefix));
    expect(decode('04100a050000')).toMatchObject({ kind: 'replace-routes' });
    expect(() => decode('04100a050001')).toThrow(/host bits.*10\.5\.0\.0\/16/);
    expect(() => decode('05100a050000')).toThrow(/no address family/);
    expect(() => decode('04210a050000')).toThrow(expect.objectContaining({ code: 'malformed' }));
    const config = Buffer.from(encodeConfig(CONFIG));
    config[config.length - 2] = 8;
    expect(() => decodeRequest(REQUEST_TYPES.configure, config)).toThrow(/flags that are not known/);
  });
});

describe('answers', () => {
  test('HELLO comes back the same, idle or configured', () => {
    const hello = fc.record({
      engine: fc.string(),
      build: fc.string({ unit: 'grapheme' }),
      pid: fc.nat(0xffff_ffff),
      config: fc.option(arbitrary.config, { nil: undefined }),
    });
    fc.assert(
      fc.property(hello, (original) => {
        expect(decodeHello(encodeHello(original))).toEqual(original);
      }),
    );
  });

  test('STATS come back the same', () => {
    fc.assert(
      fc.property(arbitrary.stats, (original) => {
        expect(decodeStats(encodeStats(original))).toEqual(original);
      }),
    );
  });

  test('what a newer engine has more is left out; a drop reason that is not sent is zero', () => {
    const drops = '0002' + '03e7' + '0000000000000005' + '0001' + '0000000000000009';
    const offloads = '02' + '63' + '01' + '0000' + '05' + '02' + '0003454f46'; // 99 on, batch lost: "EOF"
    const bytes = Buffer.from(`${'0'.repeat(24)}${drops}${offloads}00000000`, 'hex');
    const stats = decodeStats(bytes);
    expect(stats.drops).toEqual({ ...noDrops(), 'in-unknown-peer': 9n });
    expect(stats.offloads).toEqual([{ offload: 'batch', state: 'lost', reason: 'EOF' }]);
  });

  test('a peer has its path MTU and its reason behind the counters', () => {
    const counters = '0000000000000001'.repeat(4);
    const peer = `04c0000201${counters}${'00000500'}${'0002'}4549`; // 1280, "EI"
    const bytes = Buffer.from(`${'0'.repeat(24)}0000${'00'}${'00000001'}${peer}`, 'hex');
    expect(decodeStats(bytes).peers).toMatchObject([{ sentBytes: 1n, pathMtu: 1280, noSegment: 'EI' }]);
  });

  test('ERROR comes back the same; an unknown code is undefined; a long text is cut', () => {
    for (const refusal of Object.keys(REFUSALS) as Refusal[]) {
      expect(decodeError(encodeError(refusal, 'why'))).toEqual({ refusal, text: 'why' });
    }
    expect(decodeError(Buffer.from('03e70000', 'hex'))).toEqual({ refusal: undefined, text: '' });
    expect(decodeError(encodeError('internal', 'x'.repeat(100_000))).text).toHaveLength(4096);
  });
});
