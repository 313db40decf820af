import { describe, expect, test } from 'vitest';
import type { Interface } from '../../../src/host/host-facts.ts';
import type { InterfaceWishes } from '../../../src/host/interface-choice.ts';
import {
  chooseInterface,
  type HostNetwork,
  hostAddresses,
  interfaceOf,
  linkPrefixes,
  waysOf,
} from '../../../src/host/interfaces.ts';
import { parseAddress } from './simulated-host.ts';

const iface = (name: string, ...addresses: string[]): Interface => ({
  name,
  kind: name === 'wg0' ? 'wireguard' : '',
  isLoopback: name === 'lo',
  hasCarrier: true,
  mac: '02:00:00:00:00:05',
  mtu: name === 'lo' ? 65_536 : 1500,
  addresses: addresses.map(parseAddress),
});
const INTERFACES = [
  iface('lo', '127.0.0.1/8', '::1/128'),
  iface('eth0', '10.0.0.5/24', 'fd00::5/64'),
  iface('eth1', '192.168.7.5/24', '192.168.7.6/24'),
  iface('eth2', 'fd01::5/64'),
  iface('wg0', '10.9.0.5/24'),
];
const NO_WISHES: InterfaceWishes = {
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
  etcdEndpoints: ['http://127.0.0.1:2379'],
};

/** Routes: the default one leaves by eth0, all others as given. */
function choose(
  wishes: Partial<InterfaceWishes>,
  routes: Record<string, { device: string; source?: string }> = { default: { device: 'eth0' } },
  interfaces = INTERFACES,
  current?: string,
) {
  const host: HostNetwork = {
    interfaces,
    defaultRoutes: async () => (routes.default === undefined ? [] : [routes.default]),
    routeTo: async (address) => routes[address],
    linkRoutes: async () => [],
    resolve: async () => [],
  };
  return chooseInterface({ ...NO_WISHES, ...wishes }, host, [4], current);
}

describe("chooseInterface, in flannel's order", () => {
  test.each<[string, Partial<InterfaceWishes>, string, RegExp]>([
    ['a name', { iface: ['eth1'] }, 'eth1 192.168.7.5', /^--iface eth1 is there$/],
    ['an address', { iface: ['192.168.7.6'] }, 'eth1 192.168.7.6', /^--iface 192\.168\.7\.6 is there$/],
    [
      'the first that is there',
      { iface: ['eth9', '10.1.1.1', 'wg0', 'eth1'] },
      'wg0 10.9.0.5',
      /^--iface wg0/,
    ],
    ['one without IPv4 is passed over', { iface: ['eth2', 'eth1'] }, 'eth1 192.168.7.5', /--iface eth1/],
    [
      'a pattern of addresses',
      { ifaceRegex: ['^192\\.168\\.7\\.6'] },
      'eth1 192.168.7.6',
      /^its address 192\.168\.7\.6/,
    ],
    ['a pattern of names', { ifaceRegex: ['^wg'] }, 'wg0 10.9.0.5', /^its name matches --iface-regex \^wg$/],
    [
      'addresses before names',
      { ifaceRegex: ['th1|10\\.9'] },
      'wg0 10.9.0.5',
      /^its address 10\.9\.0\.5 matches/,
    ],
    [
      'the first pattern that matches',
      { ifaceRegex: ['^nope$', 'wg0', 'eth1'] },
      'wg0 10.9.0.5',
      /regex wg0$/,
    ],
    ['names before patterns', { iface: ['eth1'], ifaceRegex: ['wg'] }, 'eth1 192.168.7.5', /--iface eth1/],
    [
      'patterns where no name fits',
      { iface: ['eth9'], ifaceRegex: ['wg'] },
      'wg0 10.9.0.5',
      /--iface-regex wg/,
    ],
    ['the default route', {}, 'eth0 10.0.0.5', /^the default route leaves by it$/],
    [
      'the holder of the public address',
      { publicIp: '192.168.7.6' },
      'eth1 192.168.7.6',
      /--public-ip 192\.168\.7\.6/,
    ],
  ])('%s', async (_what, wishes, expected, why) => {
    const chosen = await choose(wishes);
    expect(`${chosen.name} ${chosen.v4?.address}`).toBe(expected);
    expect(chosen.why).toMatch(why);
    expect(chosen.mtu).toBe(1500);
  });

  test('the public address is that of the interface, or the one given', async () => {
    expect(String((await choose({})).v4?.publicIp)).toBe('10.0.0.5');
    const behindNat = await choose({ iface: ['eth1'], publicIp: '198.51.100.1' });
    expect([String(behindNat.v4?.address), String(behindNat.v4?.publicIp)]).toEqual([
      '192.168.7.5',
      '198.51.100.1',
    ]);
    const elsewhere = await choose({ publicIp: '198.51.100.1' });
    expect([elsewhere.name, String(elsewhere.v4?.publicIp)]).toEqual(['eth0', '198.51.100.1']);
  });

  test('an interface named by its IPv6 address is used with its IPv4 address: the udp backend has no other', async () => {
    const chosen = await choose({ iface: ['fd00::5'] });
    expect([chosen.name, String(chosen.v4?.address), String(chosen.v4?.publicIp)]).toEqual([
      'eth0',
      '10.0.0.5',
      '10.0.0.5',
    ]);
  });

  describe('--iface-can-reach', () => {
    const routes = {
      '192.168.8.1': { device: 'eth1', source: '192.168.7.6' },
      '192.168.9.1': { device: 'wg0' },
      // The kernel routes a host's own address by the loopback device.
      '10.0.0.5': { device: 'lo', source: '10.0.0.5' },
      default: { device: 'eth0' },
    };
    test.each([
      ['192.168.8.1', 'eth1 192.168.7.6'],
      ['192.168.9.1', 'wg0 10.9.0.5'],
      ['10.0.0.5', 'eth0 10.0.0.5'],
    ])('%s: %s', async (ifaceCanReach, expected) => {
      const chosen = await choose({ ifaceCanReach }, routes);
      expect(`${chosen.name} ${chosen.v4?.address}`).toBe(expected);
      expect(chosen.why).toContain(`--iface-can-reach ${ifaceCanReach}`);
    });

    test('comes last', async () => {
      const wishes = { iface: ['eth9'], ifaceRegex: ['^eth0$'], ifaceCanReach: '192.168.8.1' };
      expect((await choose(wishes, routes)).name).toBe('eth0');
    });
  });

  test.each<[string, Partial<InterfaceWishes>, Record<string, { device: string }>, RegExp]>([
    ['none of the wishes', { iface: ['eth9'] }, { default: { device: 'eth0' } }, /fits --iface eth9/],
    ['nor with a public address', { iface: ['eth2'], publicIp: '10.0.0.5' }, {}, /fits --iface/],
    [
      'no route to what is to be reached',
      { ifaceCanReach: '10.77.0.1' },
      { default: { device: 'eth0' } },
      /can-reach/,
    ],
    ['no default route', {}, {}, /there is no default route, and several others could be meant: .* --iface/],
    [
      'a default route without IPv4',
      {},
      { default: { device: 'eth2' } },
      /leaves by eth2, which has no IPv4 address, and several/,
    ],
  ])('an error says what there is to choose from: %s', async (_what, wishes, routes, says) => {
    await expect(choose(wishes, routes)).rejects.toMatchObject({ code: 'no-interface', retryable: true });
    await expect(choose(wishes, routes)).rejects.toThrow(says);
    await expect(choose(wishes, routes)).rejects.toThrow(
      /This host has: lo \(127\.0\.0\.1\), eth0 \(10\.0\.0\.5\), eth1 \(192\.168\.7\.5, 192\.168\.7\.6\), wg0/,
    );
  });

  test('a host with nothing at all', async () => {
    await expect(choose({}, {}, [iface('eth2', 'fd01::5/64')])).rejects.toThrow(
      /This host has: no interface with an IPv4 address/,
    );
  });
});

describe('while an interface changes', () => {
  test.each<[string, Partial<InterfaceWishes>]>([
    ['of its name', { iface: ['eth0'] }],
    ['of its address', { iface: ['10.0.0.5'] }],
    ['of a pattern', { ifaceRegex: ['^eth0$'] }],
    ['of the default route', {}],
  ])('one without its address is an error that may pass: the choice %s', async (_what, wishes) => {
    const without = INTERFACES.map((one) => (one.name === 'eth0' ? iface('eth0', 'fd00::5/64') : one));
    await expect(choose(wishes, undefined, without, 'eth0')).rejects.toMatchObject({
      code: 'no-interface',
      retryable: true,
    });
  });

  test('an address that is another one is the one that is chosen', async () => {
    const other = INTERFACES.map((one) => (one.name === 'eth0' ? iface('eth0', '10.0.0.77/24') : one));
    expect((await choose({}, undefined, other)).v4?.address.toString()).toBe('10.0.0.77');
  });
});

describe('waysOf, of what ip says', () => {
  test.each([
    [
      'a route',
      [{ dev: 'eth0', prefsrc: '10.0.0.5', gateway: '10.0.0.1' }],
      [{ device: 'eth0', source: '10.0.0.5', gateway: '10.0.0.1' }],
    ],
    [
      'the one of the lowest metric first',
      [{ dev: 'eth1' }, { dev: 'eth0' }],
      [{ device: 'eth1' }, { device: 'eth0' }],
    ],
    ['those in use', [{ dev: 'eth1', flags: ['dead', 'linkdown'] }, { dev: 'eth0' }], [{ device: 'eth0' }]],
    [
      'several ways',
      [
        {
          nexthops: [
            { dev: 'eth2', flags: [] },
            { dev: 'eth3', gateway: '10.0.3.1' },
          ],
        },
      ],
      [{ device: 'eth2' }, { device: 'eth3', gateway: '10.0.3.1' }],
    ],
    [
      'several ways, the first of them dead',
      [{ nexthops: [{ dev: 'eth2', flags: ['dead'] }, { dev: 'eth3' }] }],
      [{ device: 'eth3' }],
    ],
    ['none', [], []],
    ['one that leads nowhere', [{}], []],
  ])('%s', (_what, routes, ways) => {
    expect(waysOf(routes)).toEqual(ways);
  });
});

describe('the IPv6 addresses of an interface, the one that is published first', () => {
  const v6 = (local: string, prefixlen = 64, flags: object = {}) => ({
    local,
    prefixlen,
    scope: 'global',
    ...flags,
  });
  const order = (...addr_info: ReturnType<typeof v6>[]) =>
    hostAddresses({ ifname: 'eth0', flags: [], mtu: 1500, addr_info }).map(
      ({ ip, isPassing }) => `${ip}${isPassing ? ' passing' : ''}`,
    );

  test.each<[string, ReturnType<typeof v6>[], string[]]>([
    ['the lowest, whichever came first', [v6('fd00::9'), v6('fd00::5')], ['fd00::5', 'fd00::9']],
    [
      'by hand before for a time',
      [v6('fd00::5', 64, { dynamic: true }), v6('fd00::9')],
      ['fd00::9', 'fd00::5'],
    ],
    [
      'with its network before alone',
      [v6('fd00::5', 128), v6('fd00::9', 64, { dynamic: true })],
      ['fd00::9', 'fd00::5'],
    ],
    [
      'temporary',
      [v6('fd00::5', 64, { temporary: true, dynamic: true }), v6('fd00::9')],
      ['fd00::9', 'fd00::5 passing'],
    ],
    ['deprecated', [v6('fd00::5', 64, { deprecated: true })], ['fd00::5 passing']],
    ['not known to be unique', [v6('fd00::5', 64, { tentative: true })], ['fd00::5 passing']],
    ['known not to be', [v6('fd00::5', 64, { dadfailed: true, tentative: true })], ['fd00::5 passing']],
    ['of the link alone', [v6('fe80::1', 64, { scope: 'link' })], []],
    ['of the loopback device', [v6('::1', 128, { scope: 'host' })], []],
    ['in the range of local networks', [v6('fd00::5')], ['fd00::5']],
  ])('%s', (_what, found, expected) => {
    expect(order(...found)).toEqual(expected);
  });

  test('IPv4 stays as the kernel has it', () => {
    const v4 = (local: string) => ({ local, prefixlen: 24, scope: 'global' });
    expect(order(v4('192.0.2.9'), v6('fd00::5'), v4('192.0.2.5'))).toEqual([
      '192.0.2.9',
      '192.0.2.5',
      'fd00::5',
    ]);
  });
});

test('linkPrefixes: what the kernel reaches without a gateway, by its own word or that of a router', () => {
  const routes = [
    { dst: 'fd00:1::/64', protocol: 'ra' },
    { dst: 'fd00:2::/64', protocol: 'kernel' },
    { dst: 'fd00:3::/64', protocol: 'static' },
    { dst: 'fd00:4::/64', protocol: 'ra', gateway: 'fe80::1' },
    { dst: 'fe80::/64', protocol: 'kernel' },
    { dst: 'ff00::/8', protocol: 'kernel', type: 'multicast' },
    { dst: 'fd00:2::5', protocol: 'kernel' },
    { dst: 'default', protocol: 'ra', gateway: 'fe80::1' },
  ];
  expect(linkPrefixes(routes).join(' ')).toBe('fd00:1::/64 fd00:2::/64');
});

test('interfaceOf, of what ip says', () => {
  const card = {
    ifname: 'eth0',
    address: '02:00:00:00:00:05',
    flags: ['BROADCAST', 'UP', 'LOWER_UP'],
    mtu: 1400,
  };
  expect(interfaceOf(card)).toEqual({
    name: 'eth0',
    kind: '',
    mac: '02:00:00:00:00:05',
    mtu: 1400,
    isLoopback: false,
    hasCarrier: true,
    addresses: [],
  });
  const others = { ifname: 'lo', flags: ['LOOPBACK', 'UP'], mtu: 65_536, linkinfo: { info_kind: 'dummy' } };
  expect(interfaceOf(others)).toMatchObject({ kind: 'dummy', isLoopback: true, hasCarrier: false });
});
