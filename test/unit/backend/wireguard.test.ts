import { describe, expect, test } from 'vitest';
import type { BackendState } from '../../../src/backend/backend.ts';
import { namesFor } from '../../../src/config/names.ts';
import { formatInterfaceAddress, formatRoute, type WireguardLink } from '../../../src/host/state.ts';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { formatEndpoint } from '../../../src/net/endpoint.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Secret } from '../../../src/secret.ts';
import { check, DUAL, DUAL_IFACE, inputWith, openBackend, problemsOf, V4, V6_ONLY } from './fixtures.ts';

const OWN = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
const KEY = 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=';
const OTHER = 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=';
const PSK = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';
const KEYS = new Map([['wireguard', { privateKey: new Secret('private'), publicKey: OWN }]]);

/** A peer's lease as flanneld writes it. */
const lease = (PublicIP: string, PublicKey = KEY, port: object = { Port: 51_820 }) => ({
  PublicIP,
  PublicIPv6: null,
  BackendType: 'wireguard',
  BackendData: { PublicKey, ...port },
});
const dualLease = (publicIp: string, PublicIPv6: string) => ({
  ...lease(publicIp),
  PublicIPv6,
  BackendV6Data: { PublicKey: KEY, Port: 51_821 },
});
const DUAL_NAME = '10.5.2.0-24&fd00:5:0:2::-64';

function open(options: object = {}, context: Parameters<typeof openBackend>[1] = {}) {
  return openBackend(
    { Type: 'wireguard', ...options },
    { iface: DUAL_IFACE, wireguardKeys: KEYS, ...context },
  );
}

function objection(value: object, options: object = {}, name = '10.5.2.0-24', over: object = V4) {
  const [peer] = inputWith({ [name]: value }, { over }).peers;
  if (peer === undefined) throw new Error('the lease of this test is malformed');
  return open(options, { over }).objectionTo(peer);
}

function linksOf({ host }: BackendState): WireguardLink[] {
  return host.links.flatMap((link) => (link.kind === 'wireguard' ? [link] : []));
}

/** Devices, their peers, and routes, a line each. */
function linesOf(state: BackendState): string[] {
  return [
    ...linksOf(state).flatMap(({ name, mtu, addresses, port, peers }) => [
      `${name} mtu ${mtu} port ${port} ${addresses.map(formatInterfaceAddress).join(' ')}`,
      ...peers.map(
        ({ endpoint, allowedIps, keepalive, presharedKey }) =>
          `${name} ${allowedIps} at ${formatEndpoint(endpoint)} keepalive ${keepalive} psk ${presharedKey?.reveal()}`,
      ),
    ]),
    ...state.host.routes.map(formatRoute),
  ];
}

describe('options of wireguard', () => {
  test.each<[object, object, string]>([
    [{ ListenPort: 0 }, V4, 'Backend.ListenPort is 0: has to be a whole number from 1 to 65535'],
    [{ ListenPort: '51820' }, V4, 'Backend.ListenPort is "51820": has to be a whole number from 1 to 65535'],
    [{ ListenPortV6: 65_536 }, V4, 'Backend.ListenPortV6 is 65536: has to be a whole number from 1 to 65535'],
    [
      { ListenPort: 51_821 },
      DUAL,
      'Backend.ListenPortV6 is 51821: has to differ from ListenPort: in mode separate each family has a device of its own',
    ],
    [{ MTU: 147 }, V4, 'Backend.MTU is 147: has to be a whole number from 148 to 65535'],
    [{ MTU: 1359 }, DUAL, 'Backend.MTU is 1359: has to be a whole number from 1360 to 65535'],
    [
      { PersistentKeepaliveInterval: 65_536 },
      V4,
      'Backend.PersistentKeepaliveInterval is 65536: has to be a whole number from 0 to 65535',
    ],
    [
      { PersistentKeepaliveInterval: -1 },
      V4,
      'Backend.PersistentKeepaliveInterval is -1: has to be a whole number from 0 to 65535',
    ],
    [{ Mode: 'both' }, V4, 'Backend.Mode is "both": has to be one of separate, auto, ipv4, ipv6'],
    [{ Mode: 4 }, V4, 'Backend.Mode is 4: has to be one of separate, auto, ipv4, ipv6'],
    [
      { Mode: 'ipv6' },
      V4,
      'Backend.Mode is "ipv6": needs EnableIPv6 true: else hosts publish no such address',
    ],
    [
      { Mode: 'ipv4' },
      V6_ONLY,
      'Backend.Mode is "ipv4": needs EnableIPv4 true: else hosts publish no such address',
    ],
  ])('%o', (options, over, problem) => {
    expect(problemsOf({ Type: 'wireguard', ...options }, over)).toEqual([problem]);
  });

  test.each<[string, unknown]>([
    ['too short', 'c2VjcmV0'],
    ['no base64', `${'*'.repeat(43)}=`],
    ['bits beyond the 32 bytes', `${'s'.repeat(42)}B=`],
    ['no string', ['secret']],
    ['a number', 4711],
  ])('a PSK that is none (%s) is not shown', (_what, PSK) => {
    expect(problemsOf({ Type: 'wireguard', PSK })).toEqual([
      'Backend.PSK has to be 32 bytes in base64, as wg genpsk prints them (what stands there is not shown)',
    ]);
  });

  test('a PSK of zeros is refused: the kernel takes it for none', () => {
    expect(problemsOf({ Type: 'wireguard', PSK: `${'A'.repeat(43)}=` })).toEqual([
      'Backend.PSK is all zeros, which WireGuard takes for none: leave it away, or take what wg genpsk prints',
    ]);
  });

  test('are all known by flannel names, in whatever case; others are named', () => {
    const all = { ListenPort: 1, ListenPortV6: 2, mtu: 1400, psk: PSK, PersistentKeepaliveInterval: 25 };
    expect(check({ type: 'WireGuard', ...all, MODE: 'Auto', Port: 1 }, DUAL)).toMatchObject({
      problems: [],
      unknownKeys: ['Backend.Port'],
    });
  });

  test('an MTU that the interface does not take is lowered, and said', () => {
    const { mtu, warnings } = open({ MTU: 9000 });
    expect(mtu).toBe(1420);
    expect(warnings).toEqual([expect.stringContaining('Backend.MTU 9000, and eth0 takes no more than 1500')]);
    expect(open({ MTU: 1400 })).toMatchObject({ mtu: 1320, warnings: [] });
  });
});

describe('the value of the lease', () => {
  const data = (port: number) => `{"PublicKey":"${OWN}","Port":${port}}`;
  test.each<[string, object, object, string]>([
    [
      'IPv4',
      {},
      V4,
      `{"PublicIP":"192.0.2.5","PublicIPv6":null,"BackendType":"wireguard","BackendData":${data(51_820)}}`,
    ],
    [
      'both families, a device each',
      {},
      DUAL,
      `{"PublicIP":"192.0.2.5","PublicIPv6":"2001:db8::5","BackendType":"wireguard","BackendData":${data(51_820)},"BackendV6Data":${data(51_821)}}`,
    ],
    [
      'both families, one device',
      { Mode: 'auto', ListenPort: 7000 },
      DUAL,
      `{"PublicIP":"192.0.2.5","PublicIPv6":"2001:db8::5","BackendType":"wireguard","BackendData":${data(7000)},"BackendV6Data":${data(7000)}}`,
    ],
    [
      'IPv6 only',
      {},
      V6_ONLY,
      `{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::5","BackendType":"wireguard","BackendV6Data":${data(51_821)}}`,
    ],
  ])('%s', (_what, options, over, expected) => {
    expect(formatLeaseValue(open(options, { over }).attributes)).toBe(expected);
  });
});

describe('what the host should hold', () => {
  const subnets = ['10.5.1.0/24', 'fd00:5:0:1::/64'];

  test('IPv4: one device, the whole network by it, a peer for each lease', () => {
    const input = inputWith({
      '10.5.2.0-24': lease('192.0.2.2'),
      '10.5.3.0-24': lease('192.0.2.3', OTHER, { Port: 7000 }),
    });
    const state = open({ PSK, PersistentKeepaliveInterval: 25 }).desired(input);
    expect(linesOf(state)).toEqual([
      'corduroy-wg mtu 1420 port 51820 10.5.1.0/32',
      `corduroy-wg 10.5.2.0/24 at 192.0.2.2:51820 keepalive 25 psk ${PSK}`,
      `corduroy-wg 10.5.3.0/24 at 192.0.2.3:7000 keepalive 25 psk ${PSK}`,
      '10.5.0.0/16 dev corduroy-wg',
    ]);
    expect(linksOf(state)).toMatchObject([
      { publicKey: OWN, peers: [{ publicKey: KEY }, { publicKey: OTHER }] },
    ]);
    expect(state.host.sysctls).toContainEqual({ path: 'net/ipv4/conf/corduroy-wg/forwarding', value: '1' });
    expect(JSON.stringify(state)).not.toContain(PSK);
  });

  test.each<[string, object, string[]]>([
    [
      'separate',
      {},
      [
        'corduroy-wg mtu 1420 port 51820 10.5.1.0/32',
        'corduroy-wg 10.5.2.0/24 at 192.0.2.2:51820 keepalive 0 psk undefined',
        'corduroy-wg6 mtu 1420 port 51821 fd00:5:0:1::/128',
        'corduroy-wg6 fd00:5:0:2::/64 at [2001:db8::2]:51821 keepalive 0 psk undefined',
        '10.5.0.0/16 dev corduroy-wg',
        'fd00:5::/48 dev corduroy-wg6',
      ],
    ],
    ['auto', { Mode: 'auto' }, one('192.0.2.2:51820')],
    ['ipv4', { Mode: 'ipv4' }, one('192.0.2.2:51820')],
    ['ipv6', { Mode: 'ipv6' }, one('[2001:db8::2]:51821')],
  ])('both families, mode %s', (_mode, options, expected) => {
    const input = inputWith({ [DUAL_NAME]: dualLease('192.0.2.2', '2001:db8::2') }, { over: DUAL, subnets });
    expect(linesOf(open(options, { over: DUAL }).desired(input))).toEqual(expected);
  });

  function one(endpoint: string): string[] {
    return [
      'corduroy-wg mtu 1420 port 51820 10.5.1.0/32 fd00:5:0:1::/128',
      `corduroy-wg 10.5.2.0/24,fd00:5:0:2::/64 at ${endpoint} keepalive 0 psk undefined`,
      '10.5.0.0/16 dev corduroy-wg',
      'fd00:5::/48 dev corduroy-wg',
    ];
  }

  test.each<[string, string, string, string]>([
    ['both public', '192.0.2.2', '2001:db8::2', '192.0.2.2:51820'],
    ['IPv4 private', '10.0.0.2', '2001:db8::2', '[2001:db8::2]:51821'],
    ['both private', '10.0.0.2', 'fd01::2', '10.0.0.2:51820'],
  ])('mode auto goes to where the peer is reached from anywhere: %s', (_what, v4, v6, endpoint) => {
    const input = inputWith({ [DUAL_NAME]: dualLease(v4, v6) }, { over: DUAL, subnets });
    const [link] = linksOf(open({ Mode: 'auto' }, { over: DUAL }).desired(input));
    expect(link?.peers.map((peer) => formatEndpoint(peer.endpoint))).toEqual([endpoint]);
  });

  test('mode auto goes by IPv4 where this host is reached by IPv6 from its own site only', () => {
    const site = Ip.parse('fd01::5');
    const iface = { ...DUAL_IFACE, v6: { address: site, publicIp: site } };
    const input = inputWith({ [DUAL_NAME]: dualLease('10.0.0.2', '2001:db8::2') }, { over: DUAL, subnets });
    const [link] = linksOf(open({ Mode: 'auto' }, { over: DUAL, iface }).desired(input));
    expect(link?.peers.map((peer) => formatEndpoint(peer.endpoint))).toEqual(['10.0.0.2:51820']);
  });

  test('IPv6 only, under the name of an instance', () => {
    const value = { PublicIP: '0.0.0.0', PublicIPv6: '2001:db8::2', BackendType: 'wireguard' };
    const input = inputWith(
      { 'fd00:5:0:2::-64': { ...value, BackendV6Data: { PublicKey: KEY, Port: 51_821 } } },
      { over: V6_ONLY, subnets: ['fd00:5:0:1::/64'] },
    );
    const names = namesFor('lab').devices;
    expect(linesOf(open({}, { over: V6_ONLY, names }).desired(input))).toEqual([
      'cwg6-lab mtu 1420 port 51821 fd00:5:0:1::/128',
      'cwg6-lab fd00:5:0:2::/64 at [2001:db8::2]:51821 keepalive 0 psk undefined',
      'fd00:5::/48 dev cwg6-lab',
    ]);
  });

  test.each([[{}], [{ Port: 0 }], [{ Port: null }]])(
    'a peer that does not say its port has this host’s: %o',
    (port) => {
      const input = inputWith({ '10.5.2.0-24': lease('192.0.2.2', KEY, port) });
      const [link] = linksOf(open({ ListenPort: 7000 }).desired(input));
      expect(link?.peers.map(({ endpoint }) => endpoint.port)).toEqual([7000]);
    },
  );

  test('a peer is the same object for as long as its lease is', () => {
    const backend = open();
    const input = inputWith({ '10.5.2.0-24': lease('192.0.2.2') });
    const peerOf = () => linksOf(backend.desired(input))[0]?.peers[0];
    expect(peerOf()).toBe(peerOf());
  });
});

describe('leases that are no peers', () => {
  const data = (BackendData: unknown) => ({ ...lease('192.0.2.2'), BackendData });
  test.each<[string, object, RegExp | undefined]>([
    ['a good one', lease('192.0.2.2'), undefined],
    [
      'of another backend',
      { PublicIP: '192.0.2.2' },
      /^its BackendType is absent \(udp or alloc\), not wireguard/,
    ],
    ['no data', data(null), /^its BackendData is missing, and has to be such as/],
    ['data that is none', data('x'), /^its BackendData is no JSON object/],
    ['no key', data({ Port: 1 }), /^the PublicKey in its BackendData is missing, and has to be 32 bytes/],
    [
      'a malformed key',
      data({ PublicKey: 'x\n[Peer]' }),
      /^the PublicKey in its BackendData is "x\\n\[Peer\]"/,
    ],
    ['a malformed port', data({ PublicKey: KEY, Port: 70_000 }), /^the Port in its BackendData is 70000/],
    ['a port that is text', data({ PublicKey: KEY, Port: '1' }), /^the Port in its BackendData is "1"/],
    ['own key', lease('192.0.2.2', OWN), /is this host's own: .* corduroy wireguard rotate$/],
    ['no address', { ...lease('0.0.0.0'), PublicIPv6: '2001:db8::2' }, /^it has no IPv4 address to send to$/],
  ])('%s', (_what, value, expected) => {
    const said = objection(value);
    if (expected === undefined) expect(said).toBeUndefined();
    else expect(said).toMatch(expected);
  });

  test('what one family cannot reach, the other may', () => {
    const { BackendV6Data: _, ...half } = dualLease('192.0.2.2', '2001:db8::2');
    expect(objection(half, {}, DUAL_NAME, DUAL)).toBeUndefined();
    const [peer] = inputWith({ [DUAL_NAME]: half }, { over: DUAL }).peers;
    expect(peer && open({}, { over: DUAL }).gapIn?.(peer)).toMatch(/^its BackendV6Data is missing/);
    const input = inputWith({ [DUAL_NAME]: half }, { over: DUAL });
    expect(linksOf(open({}, { over: DUAL }).desired(input)).map(({ peers }) => peers.length)).toEqual([1, 0]);
  });

  test('a key is claimed by one host', () => {
    const [peer] = inputWith({ '10.5.2.0-24': lease('192.0.2.2') }).peers;
    expect(peer && open().claimsOf?.(peer)).toEqual([`PublicKey ${KEY} in BackendData`]);
  });
});
