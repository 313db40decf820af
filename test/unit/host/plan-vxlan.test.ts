import { describe, expect, test } from 'vitest';
import { planHost } from '../../../src/host/plan.ts';
import { planVxlan } from '../../../src/host/plan-vxlan.ts';
import type { HostState, VxlanLink, VxlanRemote } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { converge, linesFor, link, OWN, route } from './planning.ts';
import { parseAddress, SimulatedHost } from './simulated-host.ts';

const NAME = 'corduroy.1';

/** Peer n has 10.5.n.0/24; above 255, 10.5.(n / 256).0 and so on do for these tests. */
const innerOf = (n: number) => Ip.of(4, Ip.parse('10.5.0.0').value + BigInt(n) * 256n);
const peer = (n: number, over: Partial<VxlanRemote> = {}): VxlanRemote => ({
  ip: innerOf(n),
  mac: `02:aa:00:00:${hex(n >> 8)}:${hex(n & 255)}`,
  destination: Ip.of(4, Ip.parse('192.0.2.0').value + BigInt(n)),
  ...over,
});
const hex = (byte: number) => byte.toString(16).padStart(2, '0');

const vxlan = (over: Partial<VxlanLink> = {}): VxlanLink => ({
  kind: 'vxlan',
  name: NAME,
  mtu: 1450,
  addresses: [parseAddress('10.5.1.0/32')],
  mac: '02:11:11:11:11:11',
  vni: 1,
  port: 8472,
  local: Ip.parse('192.0.2.1'),
  device: 'eth0',
  learning: false,
  gbp: false,
  remotes: [peer(2), peer(3)],
  ...over,
});

const wish = (over: Partial<VxlanLink> = {}): HostState => {
  const one = vxlan(over);
  return {
    links: [one],
    routes: one.remotes.map(({ ip }) => route(`${ip}/24`, NAME, `via ${ip} onlink`)),
    sysctls: [],
  };
};

const hostWith = (state: HostState): SimulatedHost => {
  const host = new SimulatedHost([link('eth0', ''), link('eth1', '')]);
  converge(host, state);
  expect(linesFor(state, host)).toEqual([]);
  return host;
};

test('a VXLAN device and its peers: the device, then what it holds, then the routes', () => {
  const host = new SimulatedHost([link('eth0', '')]);
  expect(converge(host, wish())).toEqual([
    'link add name corduroy.1 address 02:11:11:11:11:11 type vxlan id 1 dstport 8472 local 192.0.2.1 dev eth0 nolearning',
    'link set dev corduroy.1 alias corduroy',
    'link set dev corduroy.1 mtu 1450',
    'address add 10.5.1.0/32 dev corduroy.1',
    'link set dev corduroy.1 up',
    'neighbour replace 10.5.2.0 lladdr 02:aa:00:00:00:02 dev corduroy.1 nud permanent',
    'neighbour replace 10.5.3.0 lladdr 02:aa:00:00:00:03 dev corduroy.1 nud permanent',
    'fdb replace 02:aa:00:00:00:02 dev corduroy.1 dst 192.0.2.2 self permanent',
    'fdb replace 02:aa:00:00:00:03 dev corduroy.1 dst 192.0.2.3 self permanent',
    'route add 10.5.2.0/24 via 10.5.2.0 dev corduroy.1 onlink proto 67',
    'route add 10.5.3.0/24 via 10.5.3.0 dev corduroy.1 onlink proto 67',
  ]);
  expect(linesFor(wish(), host)).toEqual([]);
});

test('learning, group policy and IPv6 outside are for the kernel to know', () => {
  const over = { learning: true, gbp: true, local: Ip.parse('2001:db8::1'), remotes: [] };
  expect(linesFor(wish(over), new SimulatedHost([link('eth0', '')]))[0]).toMatch(
    / local 2001:db8::1 dev eth0 learning gbp$/,
  );
});

describe('of what somebody has changed by hand, it mends that and nothing else:', () => {
  const tables = (host: SimulatedHost) => host.vxlans.get(NAME) ?? expect.fail('no such device');
  test.each<[string, (host: SimulatedHost) => unknown, string[]]>([
    [
      'a neighbour that is gone',
      (host) => tables(host).neighbours.delete('10.5.2.0'),
      ['neighbour replace 10.5.2.0 lladdr 02:aa:00:00:00:02 dev corduroy.1 nud permanent'],
    ],
    [
      'a neighbour with another hardware address',
      (host) => tables(host).neighbours.set('10.5.2.0', '02:00:00:00:00:99'),
      ['neighbour replace 10.5.2.0 lladdr 02:aa:00:00:00:02 dev corduroy.1 nud permanent'],
    ],
    [
      'a neighbour too many',
      (host) => tables(host).neighbours.set('10.5.9.0', '02:aa:00:00:00:09'),
      ['neighbour delete 10.5.9.0 dev corduroy.1'],
    ],
    [
      'an FDB entry that is gone',
      (host) => tables(host).fdb.delete('02:aa:00:00:00:03'),
      ['fdb replace 02:aa:00:00:00:03 dev corduroy.1 dst 192.0.2.3 self permanent'],
    ],
    [
      'an FDB entry that leads elsewhere',
      (host) => tables(host).fdb.set('02:aa:00:00:00:03', ['192.0.2.99']),
      ['fdb replace 02:aa:00:00:00:03 dev corduroy.1 dst 192.0.2.3 self permanent'],
    ],
    [
      'FDB entries too many, for all that is unknown',
      (host) => tables(host).fdb.set('00:00:00:00:00:00', ['192.0.2.2', '192.0.2.3']),
      [
        'fdb delete 00:00:00:00:00:00 dev corduroy.1 dst 192.0.2.2 self',
        'fdb delete 00:00:00:00:00:00 dev corduroy.1 dst 192.0.2.3 self',
      ],
    ],
    [
      'the hardware address',
      (host) => Object.assign(host.links.get(NAME) ?? {}, { mac: '02:00:00:00:00:99' }),
      ['link set dev corduroy.1 address 02:11:11:11:11:11'],
    ],
  ])('%s', (_what, spoil, expected) => {
    const host = hostWith(wish());
    const right = host.describe();
    spoil(host);
    expect(host.describe()).not.toEqual(right);
    expect(converge(host, wish())).toEqual(expected);
    expect(host.describe()).toEqual(right);
  });
});

test.each<[string, Partial<VxlanLink>]>([
  ['VNI', { vni: 2 }],
  ['port', { port: 4789 }],
  ['outer address', { local: Ip.parse('192.0.2.9') }],
  ['interface', { device: 'eth1' }],
  ['learning', { learning: true }],
  ['group policy', { gbp: true }],
])('another %s makes another device, which knows all that the first one did', (_what, over) => {
  const host = hostWith(wish());
  const lines = converge(host, wish(over));
  expect(lines.slice(0, 2)).toEqual([
    'link delete dev corduroy.1',
    expect.stringMatching(/^link add name corduroy\.1 /),
  ]);
  expect(linesFor(wish(over), host)).toEqual([]);
  expect(host.describe()).toEqual(hostWith(wish(over)).describe());
});

test('one of Corduroy’s own under another name makes way before its VNI is needed', () => {
  const host = hostWith(wish());
  const wanted = wish({ name: 'cvx-lab' });
  const renamed = { ...wanted, routes: [] };
  expect(converge(host, renamed)[0]).toBe('link delete dev corduroy.1');
  expect([...host.links.keys()]).toEqual(['eth0', 'eth1', 'cvx-lab']);
});

describe('a VNI that somebody else’s device has', () => {
  const flannel = (vni: number, port: number, local: string) =>
    link('flannel.1', 'vxlan', '', {
      tunnel: { local: Ip.parse(local), device: 'eth0', vxlan: { vni, port, learning: false, gbp: false } },
    });

  test('is an error that names it, and what to do', () => {
    const host = new SimulatedHost([link('eth0', ''), flannel(1, 8472, '192.0.2.1')]);
    expect(() => linesFor(wish(), host)).toThrow(
      expect.objectContaining({
        code: 'foreign-object',
        retryable: true,
        message: expect.stringMatching(/^the VXLAN device flannel\.1 has VNI 1 .*ip link delete flannel\.1$/),
      }),
    );
  });

  test.each([
    ['another VNI', flannel(2, 8472, '192.0.2.1')],
    ['another port', flannel(1, 4789, '192.0.2.1')],
    ['IPv6 outside', flannel(1, 8472, '2001:db8::1')],
  ])('%s is none of it', (_what, other) => {
    const host = new SimulatedHost([link('eth0', ''), other]);
    converge(host, wish());
    expect(host.links.get('flannel.1')).toEqual(other);
  });
});

describe('the checksum of outer packets', () => {
  test('is the kernel’s business where nothing is wished', () => {
    const host = hostWith(wish());
    Object.assign(host.vxlans.get(NAME) ?? {}, { txChecksum: false });
    expect(linesFor(wish(), host)).toEqual([]);
  });

  test.each([true, false])('is left to the card or not, as wished: %s', (txChecksum) => {
    const host = hostWith(wish());
    Object.assign(host.vxlans.get(NAME) ?? {}, { txChecksum: !txChecksum });
    const word = txChecksum ? 'on' : 'off';
    expect(converge(host, wish({ txChecksum }))).toEqual([
      `ethtool -K corduroy.1 tx-checksum-ip-generic ${word}`,
    ]);
    expect(linesFor(wish({ txChecksum }), host)).toEqual([]);
  });
});

describe('the checksum of outer packets on a host without ethtool', () => {
  const tables = { neighbours: new Map(), fdb: new Map() };
  const linesWith = (over: object, found: typeof tables | undefined) => {
    const [link] = wish({ txChecksum: false, remotes: [], ...over }).links;
    if (link?.kind !== 'vxlan') throw new Error('no vxlan link');
    return planVxlan(link, found).offload;
  };

  test('is given up where that was only to be tried', () => {
    expect(linesWith({ txChecksumOptional: true }, undefined)).toHaveLength(1);
    expect(linesWith({ txChecksumOptional: true }, tables)).toEqual([]);
  });

  test('stays to be done where somebody has asked for it', () => {
    expect(linesWith({ txChecksumOptional: false }, tables)).toHaveLength(1);
  });
});

describe('of a thousand peers, one that changes costs its own lines', () => {
  const numbers = Array.from({ length: 1000 }, (_, index) => index + 2);
  const all = numbers.map((n) => peer(n));
  const others = all.slice(1);
  const before = wish({ remotes: all });
  const host = () => hostWith(before);
  const spoken = (over: Partial<VxlanRemote>) => wish({ remotes: [peer(2, over), ...others] });

  test.each<[string, HostState, string[]]>([
    [
      'another hardware address',
      spoken({ mac: '02:bb:00:00:00:02' }),
      [
        'neighbour replace 10.5.2.0 lladdr 02:bb:00:00:00:02 dev corduroy.1 nud permanent',
        'fdb replace 02:bb:00:00:00:02 dev corduroy.1 dst 192.0.2.2 self permanent',
        'fdb delete 02:aa:00:00:00:02 dev corduroy.1 dst 192.0.2.2 self',
      ],
    ],
    [
      'another outer address',
      spoken({ destination: Ip.parse('203.0.113.2') }),
      ['fdb replace 02:aa:00:00:00:02 dev corduroy.1 dst 203.0.113.2 self permanent'],
    ],
    [
      'it leaves',
      wish({ remotes: others }),
      [
        'route delete 10.5.2.0/24 via 10.5.2.0 dev corduroy.1 onlink proto 67',
        'neighbour delete 10.5.2.0 dev corduroy.1',
        'fdb delete 02:aa:00:00:00:02 dev corduroy.1 dst 192.0.2.2 self',
      ],
    ],
    [
      'one joins',
      wish({ remotes: [...all, peer(1002)] }),
      [
        'neighbour replace 10.8.234.0 lladdr 02:aa:00:00:03:ea dev corduroy.1 nud permanent',
        'fdb replace 02:aa:00:00:03:ea dev corduroy.1 dst 192.0.5.234 self permanent',
        'route add 10.8.234.0/24 via 10.8.234.0 dev corduroy.1 onlink proto 67',
      ],
    ],
    [
      'it is reached without the tunnel from now on',
      {
        ...wish({ remotes: others }),
        routes: [...wish({ remotes: others }).routes, route('10.5.2.0/24', 'eth0', 'via 192.0.2.2')],
      },
      [
        'route replace 10.5.2.0/24 via 192.0.2.2 dev eth0 proto 67',
        'neighbour delete 10.5.2.0 dev corduroy.1',
        'fdb delete 02:aa:00:00:00:02 dev corduroy.1 dst 192.0.2.2 self',
      ],
    ],
  ])('%s', (_what, wanted, expected) => {
    const present = host();
    expect(converge(present, wanted)).toEqual(expected);
    expect(linesFor(wanted, present)).toEqual([]);
  });
});

test('no list is searched for each peer: all are read a few times', () => {
  const remotes = Array.from({ length: 1000 }, (_, index) => peer(index + 2));
  const state = wish({ remotes });
  const host = hostWith(state).observe(OWN.protocol);
  let reads = 0;
  const counted = <T>(list: readonly T[]): readonly T[] =>
    new Proxy(list, {
      get: (target, key, receiver) => {
        if (typeof key === 'string' && /^\d+$/.test(key)) reads += 1;
        return Reflect.get(target, key, receiver);
      },
    });
  // All destinations are other ones now.
  const moved = wish({ remotes: counted(remotes.map((one) => ({ ...one, destination: one.ip }))) });
  const { devices } = planHost(
    { ...moved, routes: counted(moved.routes) },
    { ...host, routes: counted(host.routes) },
    OWN,
  );
  expect(devices).toHaveLength(1000);
  expect(reads).toBeLessThan(10 * 1000);
});

test('what a device of an unmarked name holds is left alone', () => {
  const host = new SimulatedHost([link('eth0', ''), link('vxlan7', 'vxlan', 'other')]);
  host.vxlans.get('vxlan7')?.neighbours.set('10.5.2.0', '02:aa:00:00:00:02');
  const before = host.entries('vxlan7');
  converge(host, { links: [], routes: [], sysctls: [] });
  expect(host.entries('vxlan7')).toEqual(before);
});
