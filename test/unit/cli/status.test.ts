import { describe, expect, test } from 'vitest';
import { formatStatus } from '../../../src/cli/status.ts';
import type { EngineStatus, PeerStatus, StatusDocument } from '../../../src/daemon/status.ts';

const ENGINE: EngineStatus = {
  name: 'native',
  build: '0.2.0',
  pid: 42,
  routes: 2,
  ready: true,
  drops: {},
  offloads: [
    { offload: 'tun-tso', state: 'on', reason: '' },
    { offload: 'tun-uso', state: 'off', reason: 'the kernel has none: Linux 6.2 is needed' },
    { offload: 'udp-segment', state: 'lost', reason: 'EIO' },
  ],
};
const PEER: PeerStatus = {
  subnets: ['10.5.2.0/24'],
  publicIp: '192.0.2.2',
  backend: 'udp',
  path: 'encapsulated',
  sentPackets: 1,
  sentBytes: 84,
  receivedPackets: 1,
  receivedBytes: 84,
};
const OTHER = { ...PEER, subnets: ['10.5.3.0/24'], publicIp: '192.0.2.3' };
const STATUS: StatusDocument = {
  schema: 1,
  version: '0.2.0',
  pid: 41,
  instance: '',
  startedAt: '2025-01-02T03:04:05.678Z',
  ready: true,
  problems: [],
  etcd: { endpoints: ['http://127.0.0.1:2379'], prefix: '/coreos.com/network', connected: true },
  node: { id: '6f0e6f0e6f0e6f0e6f0e6f0e6f0e6f0e', name: 'h1' },
  mtu: 1472,
  subnetFile: '/run/flannel/subnet.env',
  carriedBy: 'engine',
  engine: ENGINE,
  peers: [PEER, OTHER],
  ignoredLeases: [],
};

function lineOf(status: StatusDocument, start: string): string | undefined {
  return formatStatus(status)
    .split('\n')
    .find((line) => line.startsWith(start));
}

describe('the engine', () => {
  test('what it saves work with, and why not', () => {
    expect(lineOf(STATUS, 'offloads')).toMatch(
      /^offloads +tun-tso on, tun-uso off \(the kernel has none: Linux 6\.2 is needed\), udp-segment lost \(EIO\)$/,
    );
    expect(lineOf({ ...STATUS, engine: { ...ENGINE, offloads: [] } }, 'offloads')).toBeUndefined();
  });

  test('another version is installed than runs: says so, with the command for this instance', () => {
    const status = { ...STATUS, instance: 'lab', engine: { ...ENGINE, build: '0.1.0' } };
    expect(formatStatus(status)).toMatch(
      /runs 0\.1\.0, installed 0\.2\.0: replace it with: corduroy datapath restart --instance lab\n/,
    );
    expect(formatStatus(STATUS)).not.toContain('installed');
  });

  test('none is in use: not connected', () => {
    const { engine: _, ...without } = STATUS;
    expect(lineOf(without, 'engine')).toMatch(/^engine +not connected$/);
  });

  test('none is needed where the kernel carries packets, and nothing is counted', () => {
    const { engine: _, ...without } = { ...STATUS, carriedBy: 'kernel' } as const;
    expect(lineOf(without, 'engine')).toBeUndefined();
    expect(lineOf(without, 'drops')).toBeUndefined();
    expect(lineOf(without, 'MTU')).toMatch(/^MTU +1472$/);
    expect(lineOf(without, 'PEER')).toMatch(/BACKEND$/);
    expect(lineOf(without, '192.0.2.2')).toMatch(/ udp$/);
  });
});

describe('the peers', () => {
  test('what another host has written reaches no terminal as it is', () => {
    const hostile = { ...PEER, backend: `vx\u001b[31mlan\n${'x'.repeat(300)}` };
    const text = formatStatus({ ...STATUS, peers: [hostile, OTHER] });
    expect(text).not.toContain('\u001b[31mlan');
    expect(text).not.toContain('x'.repeat(41));
  });

  test('no word about a path that takes everything', () => {
    expect(lineOf(STATUS, 'PEER')).toMatch(/RECEIVED$/);
  });

  test.each<[Partial<PeerStatus>, RegExp]>([
    [{ pathMtu: 1372 }, /takes 1372 bytes$/],
    [{ path: 'direct' }, /84 B +direct$/],
    [{ noSegment: 'EIO' }, /sent one by one: EIO$/],
    [{ pathMtu: 1372, noSegment: 'EIO' }, /takes 1372 bytes, sent one by one: EIO$/],
  ])('a path with %o', (less, expected) => {
    const status = { ...STATUS, peers: [PEER, { ...OTHER, ...less }] };
    expect(lineOf(status, 'PEER')).toMatch(/RECEIVED +PATH$/);
    expect(lineOf(status, '192.0.2.2')).toMatch(/84 B$/);
    expect(lineOf(status, '192.0.2.3')).toMatch(expected);
  });
});

describe('the host and its lease', () => {
  const LEASE = {
    subnets: ['10.5.1.0/24'],
    key: '/coreos.com/network/subnets/10.5.1.0-24',
    expiresIn: 7200,
    reserved: false,
    state: 'held',
    stateFor: 90,
    reason: '',
  } as const;

  test('by its name and id, whatever its address', () => {
    expect(lineOf(STATUS, 'host')).toMatch(/^host +h1 \(6f0e6f0e6f0e6f0e6f0e6f0e6f0e6f0e\)$/);
  });

  test.each<[string, Partial<NonNullable<StatusDocument['lease']>>, RegExp]>([
    ['held', {}, /^lease +10\.5\.1\.0\/24, held for .*, expires in /],
    ['expired', { state: 'at-risk', expiresIn: -60 }, /at-risk for .*, expired .* ago$/],
    ['reserved', { reserved: true, expiresIn: undefined as never }, /held for .*, reserved, never expires$/],
    ['not confirmed', { state: 'lost', expiresIn: undefined as never }, /10\.5\.1\.0\/24, lost for [^,]*$/],
    ["another's", { state: 'conflicted', expiresIn: undefined as never }, /conflicted for [^,]*$/],
  ])('a lease that is %s', (_what, over, says) => {
    expect(lineOf({ ...STATUS, lease: { ...LEASE, ...over } }, 'lease')).toMatch(says);
  });

  test('none', () => {
    expect(lineOf(STATUS, 'lease')).toMatch(/^lease +none$/);
  });

  test('peers have their names, where any says one', () => {
    const status = { ...STATUS, peers: [{ ...PEER, name: 'h2', version: '0.2.0' }, OTHER] };
    expect(lineOf(status, 'HOST')).toMatch(/^HOST +PEER +SUBNET/);
    expect(lineOf(status, 'h2')).toMatch(/^h2 +192\.0\.2\.2 /);
    expect(lineOf(status, '-')).toMatch(/^- +192\.0\.2\.3 /);
  });
});
