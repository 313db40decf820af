import { describe, expect, test } from 'vitest';
import type { WireguardLink, WireguardPeer } from '../../../src/host/state.ts';
import { parseWireguardDump } from '../../../src/host/wireguard-dump.ts';
import { planWireguard } from '../../../src/host/wireguard-plan.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { Secret } from '../../../src/secret.ts';

const NOW = 1_700_000_000;
const PSK = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';

const keyOf = (number: number) => Buffer.alloc(32, number).toString('base64');

function peer(number: number, over: Partial<WireguardPeer> = {}): WireguardPeer {
  return {
    publicKey: keyOf(number),
    endpoint: { address: Ip.parse(`192.0.2.${number}`), port: 51_820 },
    allowedIps: [Prefix.parse(`10.5.${number}.0/24`)],
    keepalive: 0,
    ...over,
  };
}

function device(peers: readonly WireguardPeer[], over: Partial<WireguardLink> = {}): WireguardLink {
  const keys = { privateKey: new Secret('PRIVATE'), publicKey: keyOf(200) };
  return { kind: 'wireguard', name: 'wg', mtu: 1420, addresses: [], port: 51_820, ...keys, peers, ...over };
}

/** A line of `wg show wg dump`. */
function line(
  number: number,
  over: { ips?: string; endpoint?: string; handshake?: number; psk?: string } = {},
) {
  const {
    ips = `10.5.${number}.0/24`,
    endpoint = `192.0.2.${number}:51820`,
    handshake = 0,
    psk = '(none)',
  } = over;
  return [keyOf(number), psk, endpoint, ips, handshake, 0, 0, 'off'].join('\t');
}

function plan(
  wanted: WireguardLink,
  lines: readonly string[],
  {
    endpoints = {},
    key = keyOf(200),
    port = 51_820,
  }: { endpoints?: object; key?: string; port?: number } = {},
) {
  const found = parseWireguardDump(`${[`HIDDEN\t${key}\t${port}\toff`, ...lines].join('\n')}\n`);
  const { config, stale, changes } = planWireguard(wanted, found, {
    endpoints: new Map(Object.entries(endpoints)),
    now: NOW,
  });
  return { config: config?.reveal() ?? '', stale, changes };
}

/** How often something is set or removed. */
function operations({ config, stale }: ReturnType<typeof plan>): number {
  return config.split('[Peer]').length - 1 + stale.length;
}

describe('what a WireGuard device lacks', () => {
  test('nothing, where all is as it should be', () => {
    const peers = [peer(2), peer(3, { allowedIps: ['10.5.3.0/24', 'fd00:5:0:3::/64'].map(Prefix.parse) })];
    const lines = [line(3, { ips: 'fd00:5:0:3::/64,10.5.3.0/24' }), line(2)];
    expect(plan(device(peers), lines)).toEqual({ config: '', stale: [], changes: [] });
  });

  test('everything, where it was just made', () => {
    const found = { key: '(none)', port: 33_333 };
    expect(plan(device([peer(2, { presharedKey: new Secret(PSK), keepalive: 25 })]), [], found)).toEqual({
      config:
        '[Interface]\nPrivateKey = PRIVATE\nListenPort = 51820\n' +
        `[Peer]\nPublicKey = ${keyOf(2)}\nPresharedKey = ${PSK}\nEndpoint = 192.0.2.2:51820\n` +
        'AllowedIPs = 10.5.2.0/24\nPersistentKeepalive = 25\n',
      stale: [],
      changes: [`wg has the key ${keyOf(200)}`, 'wg listens on port 51820', 'wg has new peers: 10.5.2.0/24'],
    });
  });

  test('one peer of a thousand: one operation', () => {
    const numbers = Array.from({ length: 1000 }, (_, at) => at);
    const many = numbers.map((at) => ({
      ...peer(1),
      publicKey: Buffer.from(String(at).padStart(32, '0')).toString('base64'),
      allowedIps: [Prefix.parse(`10.${100 + Math.floor(at / 256)}.${at % 256}.0/24`)],
    }));
    const lines = many.map(({ publicKey, allowedIps }) =>
      [publicKey, '(none)', '192.0.2.1:51820', allowedIps, 0, 0, 0, 'off'].join('\t'),
    );
    expect(operations(plan(device(many), lines))).toBe(0);
    expect(operations(plan(device(many.slice(1)), lines))).toBe(1);
    expect(operations(plan(device(many), lines.slice(1)))).toBe(1);
    const moved = many.map((one, at) => (at === 500 ? { ...one, keepalive: 5 } : one));
    const changed = plan(device(moved), lines);
    expect(operations(changed)).toBe(1);
    expect(changed.config).toContain(many[500]?.publicKey);
  });

  test.each<[string, Partial<WireguardPeer>, string]>([
    ['its pre-shared key', { presharedKey: new Secret(PSK) }, `PresharedKey = ${PSK}`],
    ['its keepalive', { keepalive: 7 }, 'PersistentKeepalive = 7'],
    ['its subnets', { allowedIps: [Prefix.parse('10.5.9.0/24')] }, 'AllowedIPs = 10.5.9.0/24'],
  ])('a peer changes %s, and its endpoint is left alone', (_what, over, expected) => {
    const { config, changes } = plan(device([peer(2, over)]), [line(2)]);
    expect(config).toContain(expected);
    expect(config).not.toContain('Endpoint');
    expect(config).not.toContain('Interface');
    expect(changes).toHaveLength(1);
  });

  test('a pre-shared key that is not wanted any more is taken away', () => {
    const { config } = plan(device([peer(2)]), [line(2, { psk: PSK })]);
    expect(config).toContain(`PresharedKey = ${'A'.repeat(43)}=`);
  });

  test('the log names peers by their subnets, and counts many; never a secret', () => {
    const peers = [2, 3, 4, 5].map((number) => peer(number, { presharedKey: new Secret(PSK) }));
    const { changes } = plan(device(peers), [line(9)], { key: '' });
    expect(changes).toContain('wg has new peers: 4');
    expect(changes).toContain(`wg has lost peers: ${keyOf(9)}`);
    expect(changes.join()).not.toMatch(/PRIVATE|FpCyhws9/);
  });
});

describe('where a peer is sent to', () => {
  const roamed = (age: number) => line(2, { endpoint: '203.0.113.9:4711', handshake: NOW - age });
  const wished = { [keyOf(2)]: '192.0.2.2:51820' };

  test('to where it speaks from, as long as it does', () => {
    expect(plan(device([peer(2)]), [roamed(179)], { endpoints: wished }).config).toBe('');
    expect(plan(device([peer(2)]), [roamed(179)]).config).toBe('');
  });

  test('to where its lease says, once it is silent', () => {
    expect(plan(device([peer(2)]), [roamed(181)], { endpoints: wished }).config).toContain(
      'Endpoint = 192.0.2.2:51820',
    );
  });

  test('to where its lease says, once that is something else', () => {
    const endpoints = { [keyOf(2)]: '192.0.2.77:51820' };
    expect(plan(device([peer(2)]), [roamed(1)], { endpoints }).config).toContain(
      'Endpoint = 192.0.2.2:51820',
    );
  });

  test('an IPv6 endpoint is written as wg writes it', () => {
    const endpoint = { address: Ip.parse('2001:db8:0:0::2'), port: 51_821 };
    expect(plan(device([peer(2, { endpoint })]), [line(2, { endpoint: '[2001:db8::2]:51821' })]).config).toBe(
      '',
    );
  });
});

describe('a peer with another key than before', () => {
  const rotated = peer(7, { allowedIps: [Prefix.parse('10.5.2.0/24')] });

  test('is greeted, and has the subnet before the old one goes', () => {
    const { config, stale } = plan(device([rotated]), [line(2, { handshake: NOW - 1000 })]);
    expect(config.match(/PersistentKeepalive = \d/g)).toEqual([
      'PersistentKeepalive = 1',
      'PersistentKeepalive = 0',
    ]);
    expect(config.match(/AllowedIPs = .*/g)).toEqual([
      'AllowedIPs = 10.5.2.0/24',
      'AllowedIPs = 10.5.2.0/24',
    ]);
    expect(stale).toEqual([keyOf(2)]);
  });

  test.each([
    ['nobody has spoken with the one before', [line(2)], rotated],
    ['keepalives are wanted anyway', [line(2, { handshake: NOW })], { ...rotated, keepalive: 25 }],
    ['it has come for good', [line(3, { handshake: NOW })], rotated],
  ])('no need to where %s', (_what, lines, wanted) => {
    expect(plan(device([wanted]), lines).config.match(/\[Peer\]/g)).toHaveLength(1);
  });
});
