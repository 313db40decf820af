import { describe, expect, test } from 'vitest';
import { planRemoval } from '../../../src/host/plan.ts';
import { formatRoute, type HostState, type LinkState, type RouteState } from '../../../src/host/state.ts';
import { blackhole, converge, linesFor, link, OWN, route } from './planning.ts';
import { parseAddress, SimulatedHost, type SimulatedRoute } from './simulated-host.ts';

const ETH0 = link('eth0', '');
const TUN: LinkState = {
  kind: 'tun',
  name: 'corduroy0',
  mtu: 1472,
  addresses: [parseAddress('10.5.1.0/32')],
};

const wish = (routes: readonly RouteState[], links: readonly LinkState[] = []): HostState => ({
  links,
  routes,
  sysctls: [],
});
const hostWith = (state: HostState, others: readonly SimulatedRoute[] = []): SimulatedHost => {
  const host = new SimulatedHost([ETH0], [...others]);
  converge(host, state);
  expect(linesFor(state, host)).toEqual([]);
  return host;
};

test.each([
  ['by a gateway', route('10.5.2.0/24', 'eth0', 'via 192.0.2.2'), 'via 192.0.2.2 dev eth0 proto 67'],
  [
    'by a gateway that is on the link by definition',
    route('10.5.2.0/24', 'eth0', 'via 192.0.2.2 onlink'),
    'via 192.0.2.2 dev eth0 onlink proto 67',
  ],
  ['into a device', route('10.5.2.0/24', 'eth0'), 'dev eth0 proto 67'],
])('a route %s', (_what, wanted, words) => {
  const host = new SimulatedHost([ETH0]);
  expect(converge(host, wish([wanted]))).toEqual([`route add 10.5.2.0/24 ${words}`]);
  expect(linesFor(wish([wanted]), host)).toEqual([]);
  expect(converge(host, wish([]))).toEqual([`route delete 10.5.2.0/24 ${words}`]);
});

test('IPv6 goes the same way', () => {
  const wanted = wish([route('fd00:5:0:2::/64', 'eth0', 'via 2001:db8::2')]);
  expect(converge(new SimulatedHost([ETH0]), wanted)).toEqual([
    'route add fd00:5:0:2::/64 via 2001:db8::2 dev eth0 proto 67',
  ]);
});

test('to IPv6, the way to a gateway on the link is told first: the kernel may know another one', () => {
  const wanted = wish([route('fd00:5:0:2::/64', 'eth0', 'via fd00:5:0:2:: onlink')]);
  const host = new SimulatedHost([ETH0], [route('fd00:5:0:2::/64', 'eth0', 'via 2001:db8::2')]);
  expect(converge(host, wanted)).toEqual([
    'route add fd00:5:0:2::/128 dev eth0 proto 67',
    'route replace fd00:5:0:2::/64 via fd00:5:0:2:: dev eth0 onlink proto 67',
    'route delete fd00:5:0:2::/128 dev eth0 proto 67',
  ]);
  expect(linesFor(wanted, host)).toEqual([]);
});

describe('a route that leads another way from now on is replaced, so that there is no moment without it:', () => {
  test.each<[string, string, string]>([
    ['another gateway', 'via 192.0.2.2', 'via 192.0.2.9'],
    ['a gateway that becomes one on the link', 'via 192.0.2.2', 'via 192.0.2.2 onlink'],
    ['no gateway any more', 'via 192.0.2.2', ''],
  ])('%s', (_what, before, after) => {
    const host = hostWith(wish([route('10.5.2.0/24', 'eth0', before)]));
    const lines = converge(host, wish([route('10.5.2.0/24', 'eth0', after)]));
    expect(lines).toEqual([expect.stringMatching(/^route replace 10\.5\.2\.0\/24 /)]);
    expect(host.routes).toHaveLength(1);
  });

  test('from a device that is left to the interface: the device goes last, and what else leads to it with it', () => {
    const before = wish([route('10.5.2.0/24', 'corduroy0'), route('10.5.3.0/24', 'corduroy0')], [TUN]);
    const after = wish([route('10.5.2.0/24', 'eth0', 'via 192.0.2.2')]);
    expect(converge(hostWith(before), after)).toEqual([
      'route replace 10.5.2.0/24 via 192.0.2.2 dev eth0 proto 67',
      'link delete dev corduroy0',
    ]);
  });

  test('from the interface to a device: that one is there first', () => {
    const before = wish([route('10.5.2.0/24', 'eth0', 'via 192.0.2.2')]);
    const after = wish([route('10.5.2.0/24', 'corduroy0')], [TUN]);
    const lines = converge(hostWith(before), after);
    expect(lines.at(0)).toBe('tuntap add dev corduroy0 mode tun');
    expect(lines.at(-1)).toBe('route replace 10.5.2.0/24 dev corduroy0 proto 67');
  });
});

test('a route with a metric of somebody’s own is not the one that is wanted', () => {
  const odd: SimulatedRoute = { ...route('10.5.2.0/24', 'eth0', 'via 192.0.2.2'), metric: 7 };
  const host = new SimulatedHost([ETH0], [odd]);
  expect(converge(host, wish([route('10.5.2.0/24', 'eth0', 'via 192.0.2.2')]))).toEqual([
    'route add 10.5.2.0/24 via 192.0.2.2 dev eth0 proto 67',
    'route delete 10.5.2.0/24 via 192.0.2.2 dev eth0 proto 67 metric 7',
  ]);
});

describe('whose a route is', () => {
  const theirs = [
    route('10.5.2.0/24', 'eth0', 'via 192.0.2.2 proto 4'),
    route('10.6.2.0/24', 'eth0', 'via 192.0.2.2'),
    route('10.5.3.0/24', 'cdy-lab'),
    blackhole('10.6.1.0/24'),
  ];
  const ours = [
    route('10.5.4.0/24', 'eth0', 'via 192.0.2.4'),
    route('fd00:5:0:4::/64', 'eth0', 'via 2001:db8::4'),
    route('10.6.4.0/24', 'corduroy0'),
    blackhole('10.5.1.0/24'),
  ];
  const hostOfBoth = () =>
    new SimulatedHost(
      [ETH0, link('cdy-lab', 'tun', 'corduroy-lab'), link('corduroy0', 'tun', 'corduroy')],
      [...theirs, ...ours],
    );

  test('by protocol number, device and network: those of others, and of another instance, stay', () => {
    const host = hostOfBoth();
    converge(host, wish([]));
    expect(host.routes.map(formatRoute)).toEqual(theirs.map(formatRoute));
  });

  test('the same when all is removed: what leads to a device goes with it', () => {
    const host = hostOfBoth();
    const lines = planRemoval(host.observe(OWN.protocol), OWN);
    expect(lines).toEqual([
      'route delete 10.5.4.0/24 via 192.0.2.4 dev eth0 proto 67',
      'route delete fd00:5:0:4::/64 via 2001:db8::4 dev eth0 proto 67',
      'route delete blackhole 10.5.1.0/24 proto 67 metric 4278198272',
      'link delete dev corduroy0',
    ]);
    expect(host.apply(lines)).toEqual([]);
    expect(host.routes.map(formatRoute)).toEqual(theirs.map(formatRoute));
  });
});

describe('of a thousand peers, one that changes costs one line', () => {
  const gateway = (n: number) => `via 192.0.${2 + (n >> 8)}.${n & 255}`;
  const numbers = Array.from({ length: 1000 }, (_, index) => index);
  const routes = numbers.map((n) => route(`10.5.${n >> 3}.${(n & 7) * 32}/27`, 'eth0', gateway(n)));

  test.each<[string, readonly RouteState[], string]>([
    [
      'another address',
      [route('10.5.0.0/27', 'eth0', 'via 203.0.113.9'), ...routes.slice(1)],
      'route replace 10.5.0.0/27 via 203.0.113.9 dev eth0 proto 67',
    ],
    ['it leaves', routes.slice(1), 'route delete 10.5.0.0/27 via 192.0.2.0 dev eth0 proto 67'],
    [
      'one joins',
      [...routes, route('10.5.200.0/27', 'eth0', 'via 203.0.113.9')],
      'route add 10.5.200.0/27 via 203.0.113.9 dev eth0 proto 67',
    ],
  ])('%s', (_what, wanted, line) => {
    expect(converge(hostWith(wish(routes)), wish(wanted))).toEqual([line]);
  });
});
