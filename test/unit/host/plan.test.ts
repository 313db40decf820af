import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isOurs } from '../../../src/host/ownership.ts';
import { planRemoval } from '../../../src/host/plan.ts';
import { formatRoute, type HostState, type ObservedLink } from '../../../src/host/state.ts';
import { blackhole, converge as bring, linesFor, link, OWN, route } from './planning.ts';
import { parseAddress, SimulatedHost, type SimulatedRoute } from './simulated-host.ts';

const WANTED: HostState = {
  links: [
    { name: 'corduroy0', kind: 'tun', mtu: 1472, addresses: [parseAddress('10.5.1.0/32')] },
    {
      name: 'cbr0',
      kind: 'bridge',
      mtu: 1472,
      addresses: [parseAddress('10.5.1.1/24')],
      mac: '02:cd:0a:05:01:01',
    },
  ],
  routes: [route('10.5.0.0/16', 'corduroy0'), blackhole('10.5.1.0/24')],
  sysctls: [],
};

const converge = (host: SimulatedHost, wanted = WANTED) => bring(host, wanted);

/** The link of a container, as the kernel knows it. */
const veth = (index: number, name: string, over: Partial<ObservedLink> = {}): ObservedLink => ({
  ...link(name, 'veth'),
  index,
  ...over,
});

describe('the ports of a bridge', () => {
  const ports = [
    { index: 5, name: 'v5' },
    { index: 6, name: 'v6' },
    { index: 7, name: 'v7' },
    { index: 8, name: 'v8' },
  ];
  const wanted: HostState = {
    ...WANTED,
    links: WANTED.links.map((one) => (one.kind === 'bridge' ? { ...one, ports } : one)),
  };

  test('are attached again when it has to be created: those that are still there, and free', () => {
    const host = new SimulatedHost([
      veth(5, 'v5'),
      veth(66, 'v6'),
      veth(7, 'v7', { master: 'br-other' }),
      veth(9, 'v9'),
    ]);
    converge(host, wanted);
    expect(
      [...host.links.values()].flatMap(({ name, master }) => (master === undefined ? [] : [name, master])),
    ).toEqual(['v5', 'cbr0', 'v7', 'br-other']);
  });

  test('are left alone while it stands', () => {
    const host = new SimulatedHost([veth(5, 'v5')]);
    converge(host, WANTED);
    expect(converge(host, wanted)).toEqual([]);
  });
});

describe('planHost', () => {
  test('an empty host: everything, in an order that works', () => {
    const host = new SimulatedHost();
    expect(converge(host)).toEqual([
      'tuntap add dev corduroy0 mode tun',
      'link set dev corduroy0 txqueuelen 1000',
      'link set dev corduroy0 alias corduroy',
      'link set dev corduroy0 mtu 1472',
      'address add 10.5.1.0/32 dev corduroy0',
      'link set dev corduroy0 up',
      'link add name cbr0 address 02:cd:0a:05:01:01 type bridge',
      'link set dev cbr0 alias corduroy',
      'link set dev cbr0 mtu 1472',
      'address add 10.5.1.1/24 dev cbr0',
      'link set dev cbr0 up',
      expect.stringMatching(/^route (add|replace) 10\.5\.0\.0\/16 dev corduroy0 proto 67$/),
      expect.stringMatching(/^route (add|replace) blackhole 10\.5\.1\.0\/24 proto 67 metric 4278198272$/),
    ]);
    expect(converge(host)).toEqual([]);
  });

  test.each<[string, (host: SimulatedHost) => void, RegExp[]]>([
    ['a link that is down', (host) => set(host, { up: false }), [/^link set dev corduroy0 up$/]],
    ['another queue', (host) => set(host, { queueLength: 10 }), [/^link set dev corduroy0 txqueuelen 1000$/]],
    ['another MTU', (host) => set(host, { mtu: 1400 }), [/^link set dev corduroy0 mtu 1472$/]],
    [
      'another address',
      (host) => set(host, { addresses: [parseAddress('10.5.9.0/32')] }),
      [/^address add 10\.5\.1\.0\/32 dev corduroy0$/, /^address delete 10\.5\.9\.0\/32 dev corduroy0$/],
    ],
    [
      'another length of the address',
      (host) => set(host, { addresses: [parseAddress('10.5.1.0/24')] }),
      [/^address add 10\.5\.1\.0\/32/, /^address delete 10\.5\.1\.0\/24/],
    ],
    [
      'a tunnel device without its mark',
      (host) => set(host, { alias: '' }),
      [/^link set dev corduroy0 alias corduroy$/],
    ],
    [
      'the blackhole of a subnet this host had before',
      (host) => host.routes.push(blackhole('10.5.9.0/24')),
      [/^route delete blackhole 10\.5\.9\.0\/24 proto 67 metric 4278198272$/],
    ],
    [
      'a route that is gone',
      (host) => {
        host.routes = host.routes.filter(({ type }) => type === 'blackhole');
      },
      [/^route (add|replace) 10\.5\.0\.0\/16 dev corduroy0 proto 67$/],
    ],
    [
      'a route of an earlier network',
      (host) => host.routes.push(route('10.6.0.0/16', 'corduroy0')),
      [/^route delete 10\.6\.0\.0\/16 dev corduroy0 proto 67$/],
    ],
    [
      'a blackhole of another metric',
      (host) => host.routes.push(blackhole('10.5.1.0/24', 5)),
      [/^route delete blackhole 10\.5\.1\.0\/24 proto 67 metric 5$/],
    ],
    [
      'a bridge of an earlier name',
      (host) => void host.links.set('old0', link('old0', 'bridge', 'corduroy')),
      [/^link delete dev old0$/],
    ],
  ])('mends %s, and nothing else', (_what, spoil, expected) => {
    const host = new SimulatedHost();
    converge(host);
    const right = host.describe();
    spoil(host);
    expect(host.describe()).not.toEqual(right);
    expect(converge(host)).toEqual(expected.map((line) => expect.stringMatching(line)));
    expect(host.describe()).toEqual(right);
  });

  test('a marked link of another kind is made anew', () => {
    const host = new SimulatedHost([link('cbr0', 'dummy', 'corduroy')], [route('10.7.0.0/16', 'cbr0')]);
    expect(converge(host).slice(0, 1)).toEqual(['link delete dev cbr0']);
    expect(host.links.get('cbr0')?.kind).toBe('bridge');
    expect(converge(host)).toEqual([]);
  });

  test.each([
    ['one queue, and several are wanted', false, 4, ' multi_queue'],
    ['several queues, and one is wanted', true, 1, ''],
  ])('a tunnel device of %s, is made anew, and its route with it', (_what, multiQueue, queues, word) => {
    const found = link('corduroy0', 'tun', 'corduroy', { multiQueue });
    const host = new SimulatedHost([found], [route('10.5.0.0/16', 'corduroy0')]);
    const wanted = { ...WANTED, links: WANTED.links.map((one) => ({ ...one, queues })) };
    expect(converge(host, wanted).slice(0, 2)).toEqual([
      'link delete dev corduroy0',
      `tuntap add dev corduroy0 mode tun${word}`,
    ]);
    expect(host.routes.map(formatRoute)).toContain('10.5.0.0/16 dev corduroy0');
    expect(converge(host, wanted)).toEqual([]);
  });

  test.each<[string, ObservedLink]>([
    ['a bridge of Docker’s', link('cbr0', 'bridge')],
    ['a bridge of another instance', link('cbr0', 'bridge', 'corduroy-lab')],
    ['no tunnel device', link('corduroy0', 'dummy')],
  ])('a foreign link of a wanted name is an error that says what to do: %s', (_what, foreign) => {
    const host = new SimulatedHost([foreign]);
    expect(() => linesFor(WANTED, host)).toThrow(
      expect.objectContaining({
        code: 'foreign-object',
        retryable: true,
        message: expect.stringMatching(
          new RegExp(
            `^the link ${foreign.name} exists .*choose another name, or .*ip link delete ${foreign.name}$`,
          ),
        ),
      }),
    );
  });

  test("another program's route to the network is not taken away: ip says that it is there", () => {
    const theirs = route('10.5.0.0/16', 'eth0', 'proto 4');
    const host = new SimulatedHost([link('eth0', '')], [theirs]);
    const complaints = host.apply(linesFor(WANTED, host));
    expect(host.routes).toContain(theirs);
    expect(complaints).toEqual([expect.stringMatching(/10\.5\.0\.0\/16 dev corduroy0 .*File exists$/)]);
  });
});

function set(host: SimulatedHost, change: Partial<ObservedLink>): void {
  const found = host.links.get('corduroy0');
  if (found !== undefined) host.links.set('corduroy0', { ...found, ...change });
}

/** Hosts in any state: our own things spoilt, and things of others beside them. */
const FOREIGN_NAMES = ['eth0', 'docker0', 'flannel0'];
const anyHost = fc
  .record({
    ours: fc.subarray([
      link('corduroy0', 'tun', 'corduroy'),
      link('cbr0', 'bridge', 'corduroy', { up: false }),
      link('old0', 'bridge', 'corduroy'),
    ]),
    foreign: fc.subarray([
      link('eth0', ''),
      link('docker0', 'bridge', '', { addresses: [parseAddress('172.17.0.1/16')] }),
      link('flannel0', 'tun', 'corduroy-lab'),
    ]),
    mtu: fc.integer({ min: 1280, max: 1500 }),
    addresses: fc.subarray(['10.5.1.0/32', '10.5.2.0/32', 'fd00::1/64']),
    routes: fc.subarray([
      route('10.5.0.0/16', 'corduroy0'),
      route('10.6.0.0/16', 'corduroy0'),
      route('fd00::/64', 'old0'),
      route('10.7.0.0/16', 'flannel0'),
      route('10.8.0.0/16', 'eth0', 'proto 4'),
      route('172.17.0.0/16', 'docker0', 'proto 2'),
      blackhole('10.5.1.0/24', 7),
      blackhole('10.9.1.0/24'),
      blackhole('10.9.2.0/24', 7, 4),
    ]),
  })
  .map(({ ours, foreign, mtu, addresses, routes }) => {
    const links = [
      ...ours.map((one) => ({ ...one, mtu, addresses: addresses.map(parseAddress) })),
      ...foreign,
    ];
    const names = links.map(({ name }) => name);
    const standing = routes.filter((one) => one.type === 'blackhole' || names.includes(one.device));
    return new SimulatedHost(links, standing);
  });

const foreignThings = {
  link: ({ name }: ObservedLink) => FOREIGN_NAMES.includes(name),
  route: (one: SimulatedRoute) =>
    one.type === 'unicast' ? FOREIGN_NAMES.includes(one.device) : one.prefix.toString().startsWith('10.9.'),
};

describe('whatever the host is like', () => {
  test('one plan makes it what it should be, a second one is empty, and others keep what is theirs', () => {
    fc.assert(
      fc.property(anyHost, (host) => {
        const before = host.describe(foreignThings);
        converge(host);
        expect(linesFor(WANTED, host)).toEqual([]);
        expect(host.describe(foreignThings)).toEqual(before);
        const { links, routes } = host.observe(67);
        const ours = links.filter(({ name }) => !FOREIGN_NAMES.includes(name));
        expect(ours.map(({ name, kind, mtu, up }) => [name, kind, mtu, up]).sort()).toEqual([
          ['cbr0', 'bridge', 1472, true],
          ['corduroy0', 'tun', 1472, true],
        ]);
        expect(routes.map(formatRoute)).toEqual(expect.arrayContaining(WANTED.routes.map(formatRoute)));
      }),
    );
  });

  test('removal takes away what is ours, and only that', () => {
    fc.assert(
      fc.property(anyHost, (host) => {
        const before = host.describe(foreignThings);
        converge(host);
        expect(host.apply(planRemoval(host.observe(67), OWN))).toEqual([]);
        expect(host.describe()).toEqual(before);
        expect(planRemoval(host.observe(67), OWN)).toEqual([]);
      }),
    );
  });
});

test.each<[ObservedLink, boolean]>([
  [link('corduroy0', 'tun'), true],
  [link('corduroy0', 'bridge'), false],
  [link('cbr0', 'bridge', 'corduroy'), true],
  [link('cbr0', 'bridge', 'corduroy-lab'), false],
  [link('cdy-lab', 'tun'), false],
  [link('corduroy-wg', 'wireguard'), true],
  [link('corduroy-wg', 'tun'), true],
  [link('corduroy.1', 'vxlan'), false],
])('whether $name ($kind, "$alias") is ours: %s', (one, ours) => {
  expect(isOurs(one, OWN)).toBe(ours);
});
