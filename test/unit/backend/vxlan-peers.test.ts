import { describe, expect, test } from 'vitest';
import { DUAL, inputWith } from './fixtures.ts';
import { linesOf } from './format-state.ts';
import { dualLease, lease, MAC, MAC6, objection, open } from './vxlan-leases.ts';

describe('leases that no packet can be sent to', () => {
  test.each<[string, object, RegExp | undefined]>([
    ["flanneld's", lease('192.0.2.2'), undefined],
    [
      'another backend',
      { PublicIP: '192.0.2.2', BackendType: 'host-gw' },
      /^its BackendType is host-gw, not vxlan: /,
    ],
    ['udp or alloc', { PublicIP: '192.0.2.2' }, /^its BackendType is absent \(udp or alloc\), not vxlan: /],
    [
      'a BackendType that is no word',
      { PublicIP: '192.0.2.2', BackendType: `\n${'x'.repeat(1000)}` },
      /^its BackendType is \\nx{39}…, not/,
    ],
    [
      'no BackendData',
      { PublicIP: '192.0.2.2', BackendType: 'vxlan' },
      /^its BackendData is missing, and has to be such as \{"VNI":1,"VtepMAC":"c6:/,
    ],
    [
      'BackendData that is a string',
      { ...lease('192.0.2.2'), BackendData: 'x' },
      /^its BackendData is no JSON object/,
    ],
    [
      'BackendData that is a list',
      { ...lease('192.0.2.2'), BackendData: [1] },
      /^the VtepMAC in its BackendData is missing/,
    ],
    ['another VNI', lease('192.0.2.2', MAC, 2), /^the VNI in its BackendData is 2, and the network's is 1$/],
    [
      'a VNI that is text',
      { ...lease('192.0.2.2'), BackendData: { VNI: '1', VtepMAC: MAC } },
      /^the VNI in its BackendData is "1"/,
    ],
    [
      'no VNI',
      { ...lease('192.0.2.2'), BackendData: { VtepMAC: MAC } },
      /^the VNI in its BackendData is missing/,
    ],
    [
      'a MAC that ends early',
      lease('192.0.2.2', 'c6:d2:32:6f:8f'),
      /^the VtepMAC in its BackendData is "c6:/,
    ],
    [
      'a MAC with more behind it',
      lease('192.0.2.2', `${MAC}\nlink delete eth0`),
      /^the VtepMAC .* is "c6:[^\n]*, and has/,
    ],
    [
      'a MAC that is a number',
      { ...lease('192.0.2.2'), BackendData: { VNI: 1, VtepMAC: 7 } },
      /^the VtepMAC .* is 7, /,
    ],
    ["a group's MAC", lease('192.0.2.2', '01:00:5e:00:00:01'), /has to be the MAC address of one device$/],
    [
      'the broadcast MAC',
      lease('192.0.2.2', 'ff:ff:ff:ff:ff:ff'),
      /has to be the MAC address of one device$/,
    ],
    ['a MAC of zeros', lease('192.0.2.2', '00:00:00:00:00:00'), /has to be the MAC address of one device$/],
    [
      "this host's MAC",
      lease('192.0.2.2', '62:6A:42:19:E0:6F'),
      /62:6a:42:19:e0:6f, is this host's own: one of them is a copy/,
    ],
    ['no IPv4 address', { ...dualLease('0.0.0.0', '2001:db8::2') }, /^it has no IPv4 address to send to$/],
  ])('%s', (_what, value, expected) => {
    const reason = objection(value);
    if (expected === undefined) expect(reason).toBeUndefined();
    else expect(reason).toMatch(expected);
  });

  test('of a peer with both families, whatever can be reached is, and the rest is named', () => {
    const name = '10.5.2.0-24&fd00:5:0:2::-64';
    const value = { ...dualLease('192.0.2.2', '2001:db8::2'), BackendV6Data: { VNI: 2, VtepMAC: MAC6 } };
    expect(objection(value, {}, name, DUAL)).toBeUndefined();
    expect(
      inputWith({ [name]: value }, { over: DUAL }).peers.map((peer) =>
        open({}, { over: DUAL }).gapIn?.(peer),
      ),
    ).toEqual(["the VNI in its BackendV6Data is 2, and the network's is 1"]);
    const lines = linesOf(open({}, { over: DUAL }).desired(inputWith({ [name]: value }, { over: DUAL })));
    expect(lines.filter((line) => /^(route|remote)/.test(line))).toEqual([
      'remote corduroy.1 10.5.2.0 is c6:d2:32:6f:8f:44 behind 192.0.2.2',
      'route 10.5.2.0/24 via 10.5.2.0 dev corduroy.1 onlink',
    ]);
    const broken = { ...value, BackendData: null };
    expect(objection(broken, {}, name, DUAL)).toMatch(
      /^its BackendData is missing.*; the VNI in its BackendV6Data is 2/,
    );
  });

  test('two peers with one MAC claim the same; a MAC counts for its family alone', () => {
    const backend = open({}, { over: DUAL });
    const claims = inputWith(
      {
        '10.5.2.0-24': lease('192.0.2.2'),
        '10.5.3.0-24': lease('192.0.2.3', MAC.toUpperCase()),
        'fd00:5:0:4::-64': {
          ...dualLease('0.0.0.0', '2001:db8::4'),
          BackendV6Data: { VNI: 1, VtepMAC: MAC },
        },
      },
      { over: DUAL },
    ).peers.map((peer) => backend.claimsOf?.(peer));
    expect(claims).toEqual([
      [`VtepMAC ${MAC} in BackendData`, 'first address 10.5.2.0'],
      [`VtepMAC ${MAC} in BackendData`, 'first address 10.5.3.0'],
      [`VtepMAC ${MAC} in BackendV6Data`, 'first address fd00:5:0:4::'],
    ]);
  });

  test('two subnets with one first address claim the same, since it has one neighbour entry; sent to plainly, none', () => {
    const leases = {
      '10.5.2.0-24': lease('192.0.2.2'),
      '10.5.2.0-25': lease('192.0.2.3', 'c6:d2:32:6f:8f:45'),
    };
    const claimsOf = (options: object) => {
      const { claimsOf } = open(options);
      return inputWith(leases).peers.map((peer) => claimsOf?.(peer)[1]);
    };
    expect(claimsOf({})).toEqual(['first address 10.5.2.0', 'first address 10.5.2.0']);
    expect(claimsOf({ DirectRouting: true })).toEqual([undefined, undefined]);
  });
});
