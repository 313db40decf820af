import { describe, expect, test } from 'vitest';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { check, DUAL, DUAL_IFACE, IFACE, inputWith, openBackend, problemsOf, V6_ONLY } from './fixtures.ts';
import { linesOf } from './format-state.ts';

const lease = (publicIp: string) => ({ PublicIP: publicIp, PublicIPv6: null, BackendType: 'ipip' });

function open(options: object = {}, iface = DUAL_IFACE) {
  return openBackend({ Type: 'ipip', ...options }, { iface });
}

describe('options of ipip', () => {
  test.each<[object, object, string[]]>([
    [{ DirectRouting: 'yes' }, {}, ['Backend.DirectRouting is "yes": has to be true or false']],
    [{ DirectRouting: 0 }, {}, ['Backend.DirectRouting is 0: has to be true or false']],
  ])('%o %o', (options, over, expected) => {
    expect(problemsOf({ Type: 'ipip', ...options }, { Network: '10.5.0.0/16', ...over })).toEqual(expected);
  });

  test.each<[string, object]>([
    ['both families', DUAL],
    ['IPv6 only', V6_ONLY],
  ])('IPv6 is refused, with the backends that carry it: %s', (_what, over) => {
    expect(problemsOf({ Type: 'ipip' }, over)).toEqual([
      expect.stringMatching(
        /^EnableIPv6 is true: has to be false: the ipip .* \(these do: udp, vxlan, host-gw/,
      ),
    ]);
  });

  test('what means nothing is named', () => {
    expect(check({ Type: 'ipip', directrouting: true, Port: 1 }).unknownKeys).toEqual(['Backend.Port']);
  });
});

test('the lease, byte for byte as flanneld', () => {
  expect(formatLeaseValue(open().attributes)).toBe(
    '{"PublicIP":"192.0.2.5","PublicIPv6":null,"BackendType":"ipip"}',
  );
});

test('room for one more IPv4 header', () => {
  expect(open().mtu).toBe(1480);
});

describe('the host with ipip', () => {
  const input = inputWith({ '10.5.2.0-24': lease('192.0.2.2'), '10.5.3.0-24': lease('203.0.113.3') });

  test('one device, and each peer a gateway behind it', () => {
    expect(linesOf(open().desired(input))).toEqual([
      'link corduroy.ipip ipip mtu 1480 10.5.1.0/32 local 192.0.2.5 device eth0',
      'route 10.5.2.0/24 via 192.0.2.2 dev corduroy.ipip onlink',
      'route 10.5.3.0/24 via 203.0.113.3 dev corduroy.ipip onlink',
      'net/ipv4/conf/corduroy.ipip/forwarding=1',
      'net/ipv4/conf/corduroy.ipip/rp_filter=2',
      'net/ipv6/conf/corduroy.ipip/disable_ipv6=1',
    ]);
  });

  test('DirectRouting: who is on the link is sent to plainly', () => {
    const backend = open({ DirectRouting: true });
    const lines = linesOf(backend.desired(input));
    expect(lines.filter((line) => line.startsWith('route'))).toEqual([
      'route 10.5.2.0/24 via 192.0.2.2 dev eth0',
      'route 10.5.3.0/24 via 203.0.113.3 dev corduroy.ipip onlink',
    ]);
    expect(lines).toContain('net/ipv4/conf/eth0/forwarding=1');
    expect(input.peers.map((peer) => backend.isDirect(peer, []))).toEqual([true, false]);
    expect(input.peers.map((peer) => open().isDirect(peer, []))).toEqual([false, false]);
  });

  test('behind a NAT it sends from its own address, and publishes the other', () => {
    const backend = open({}, IFACE);
    expect(backend.desired(input).host.links).toMatchObject([{ local: IFACE.v4?.address }]);
    expect(backend.attributes.publicIp).toEqual(IFACE.v4?.publicIp);
  });
});

test.each<[string, object, RegExp | undefined]>([
  ["flanneld's", lease('203.0.113.3'), undefined],
  ['another backend', { PublicIP: '192.0.2.2' }, /^its BackendType is absent \(udp or alloc\), not ipip/],
  [
    'no IPv4 address',
    { ...lease('0.0.0.0'), PublicIPv6: '2001:db8::2' },
    /^it has no IPv4 address to send to$/,
  ],
  [
    'the broadcast address of the link',
    lease('192.0.2.255'),
    /^its public address 192.0.2.255 is the first or/,
  ],
  ['the broadcast address of another link', lease('203.0.113.255'), undefined],
])('leases that no packet can be sent to: %s', (_what, value, expected) => {
  const [peer] = inputWith({ '10.5.2.0-24': value }).peers;
  const reason = peer && open().objectionTo(peer);
  if (expected === undefined) expect(reason).toBeUndefined();
  else expect(reason).toMatch(expected);
});
