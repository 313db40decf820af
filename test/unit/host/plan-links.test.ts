import { describe, expect, test } from 'vitest';
import type { HostState, IpipLink, WireguardLink } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Secret } from '../../../src/secret.ts';
import { converge, linesFor, link, route } from './planning.ts';
import { parseAddress, SimulatedHost } from './simulated-host.ts';

const IPIP: IpipLink = {
  kind: 'ipip',
  name: 'corduroy.ipip',
  mtu: 1480,
  addresses: [parseAddress('10.5.1.0/32')],
  local: Ip.parse('192.0.2.1'),
  device: 'eth0',
};
const WIREGUARD: WireguardLink = {
  kind: 'wireguard',
  name: 'corduroy-wg',
  mtu: 1420,
  addresses: [parseAddress('10.5.1.0/32'), parseAddress('fd00:5:0:1::/128')],
  privateKey: new Secret('private'),
  publicKey: 'public',
  port: 51820,
  peers: [],
};

const wish = (one: IpipLink | WireguardLink, ...routes: HostState['routes']): HostState => ({
  links: [one],
  routes,
  sysctls: [],
});

describe('an ipip device', () => {
  const wanted = wish(IPIP, route('10.5.2.0/24', 'corduroy.ipip', 'via 192.0.2.2 onlink'));

  test('is made, with routes by the outer addresses', () => {
    const host = new SimulatedHost([link('eth0', '')]);
    expect(converge(host, wanted)).toEqual([
      'link add name corduroy.ipip type ipip local 192.0.2.1 dev eth0',
      'link set dev corduroy.ipip alias corduroy',
      'link set dev corduroy.ipip mtu 1480',
      'address add 10.5.1.0/32 dev corduroy.ipip',
      'link set dev corduroy.ipip up',
      'route add 10.5.2.0/24 via 192.0.2.2 dev corduroy.ipip onlink proto 67',
    ]);
    expect(linesFor(wanted, host)).toEqual([]);
  });

  test.each([
    ['outer address', { local: Ip.parse('192.0.2.9') }],
    ['interface', { device: 'eth1' }],
  ])('for another %s it is made anew', (_what, over) => {
    const host = new SimulatedHost([link('eth0', ''), link('eth1', '')]);
    converge(host, wanted);
    const changed = { ...wanted, links: [{ ...IPIP, ...over }] };
    expect(converge(host, changed)[0]).toBe('link delete dev corduroy.ipip');
    expect(linesFor(changed, host)).toEqual([]);
  });

  test('tunl0, which the kernel makes by itself, is none of ours', () => {
    const host = new SimulatedHost([link('eth0', ''), link('tunl0', 'ipip')]);
    converge(host, wanted);
    expect(host.links.get('tunl0')).toEqual(link('tunl0', 'ipip'));
  });
});

describe('a WireGuard device', () => {
  test('is not made by a line', () => {
    expect(linesFor(wish(WIREGUARD), new SimulatedHost())).toEqual([]);
  });

  test.each(['wireguard', 'tun'])('that is there, of kind %s, is set up', (kind) => {
    const host = new SimulatedHost([link('corduroy-wg', kind, '', { up: false })]);
    expect(converge(host, wish(WIREGUARD))).toEqual([
      'link set dev corduroy-wg alias corduroy',
      'link set dev corduroy-wg mtu 1420',
      'address add 10.5.1.0/32 dev corduroy-wg',
      // Without detection of duplicates, which would keep the address from being used for a second.
      'address add fd00:5:0:1::/128 dev corduroy-wg nodad',
      'link set dev corduroy-wg up',
    ]);
    expect(linesFor(wish(WIREGUARD), host)).toEqual([]);
  });

  test('of that name that is neither marked nor of such a kind is somebody’s', () => {
    const host = new SimulatedHost([link('corduroy-wg', 'dummy')]);
    expect(() => linesFor(wish(WIREGUARD), host)).toThrow(
      expect.objectContaining({ code: 'foreign-object' }),
    );
  });
});

test('another backend takes over: nothing of the one before goes while packets are led to it', () => {
  const host = new SimulatedHost([link('eth0', '')]);
  const before = wish(IPIP, route('10.5.2.0/24', 'corduroy.ipip', 'via 192.0.2.2 onlink'));
  converge(host, before);
  host.apply(['link add name corduroy-wg type bridge']);
  Object.assign(host.links.get('corduroy-wg') ?? {}, { kind: 'wireguard' });
  const lines = converge(host, wish(WIREGUARD, route('10.5.2.0/24', 'corduroy-wg')));
  expect(lines.slice(-2)).toEqual([
    'route replace 10.5.2.0/24 dev corduroy-wg proto 67',
    'link delete dev corduroy.ipip',
  ]);
});
