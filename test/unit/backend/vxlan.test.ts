import { describe, expect, test } from 'vitest';
import { namesFor } from '../../../src/config/names.ts';
import type { VxlanLink } from '../../../src/host/state.ts';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { entry, PREFIX } from '../lease/fixtures.ts';
import { check, DUAL, IFACE, inputWith, type openBackend, problemsOf, V4, V6_ONLY } from './fixtures.ts';
import { linesOf } from './format-state.ts';
import { dualLease, lease, MAC, objection, open } from './vxlan-leases.ts';

function linkOf(options: object = {}, context: Parameters<typeof openBackend>[1] = {}): VxlanLink {
  const [link] = open(options, context).desired(inputWith({})).host.links;
  if (link?.kind !== 'vxlan') throw new Error('no vxlan link');
  return link;
}

describe('options of vxlan', () => {
  test.each<[object, string]>([
    [{ VNI: 0 }, 'Backend.VNI is 0: has to be a whole number from 1 to 16777215'],
    [{ VNI: 16_777_216 }, 'Backend.VNI is 16777216: has to be a whole number from 1 to 16777215'],
    [{ VNI: '1' }, 'Backend.VNI is "1": has to be a whole number from 1 to 16777215'],
    [{ VNI: 1.5 }, 'Backend.VNI is 1.5: has to be a whole number from 1 to 16777215'],
    [{ Port: -1 }, 'Backend.Port is -1: has to be a whole number from 0 to 65535'],
    [{ Port: 65_536 }, 'Backend.Port is 65536: has to be a whole number from 0 to 65535'],
    [{ MTU: 117 }, 'Backend.MTU is 117: has to be a whole number from 118 to 65535'],
    [{ MTU: 'big' }, 'Backend.MTU is "big": has to be a whole number from 118 to 65535'],
    [{ GBP: 1 }, 'Backend.GBP is 1: has to be true or false'],
    [{ Learning: 'no' }, 'Backend.Learning is "no": has to be true or false'],
    [{ DirectRouting: 'yes' }, 'Backend.DirectRouting is "yes": has to be true or false'],
    [{ TxChecksum: 'maybe' }, 'Backend.TxChecksum is "maybe": has to be one of auto, on, off'],
    [{ TxChecksum: false }, 'Backend.TxChecksum is false: has to be one of auto, on, off'],
  ])('%o', (options, problem) => {
    expect(problemsOf({ Type: 'vxlan', ...options })).toEqual([problem]);
  });

  test('in an IPv6 network the MTU has to leave room for IPv6', () => {
    expect(problemsOf({ Type: 'vxlan', MTU: 1349 }, V6_ONLY)).toEqual([
      'Backend.MTU is 1349: has to be a whole number from 1350 to 65535',
    ]);
    expect(problemsOf({ Type: 'vxlan', MTU: 1350 }, V6_ONLY)).toEqual([]);
  });

  test('all that is wrong is reported, and what means nothing is named; keys match in any case', () => {
    expect(problemsOf({ Type: 'vxlan', VNI: 0, Port: -1 })).toHaveLength(2);
    const { problems, unknownKeys } = check({
      type: 'VXLAN',
      vni: 5,
      DIRECTROUTING: true,
      txchecksum: 'OFF',
      MacPrefix: '0E-2A',
    });
    expect({ problems, unknownKeys }).toEqual({ problems: [], unknownKeys: ['Backend.MacPrefix'] });
  });
});

describe('what vxlan says in the lease', () => {
  test.each<[string, object, object, string]>([
    [
      'IPv4',
      V4,
      {},
      '{"PublicIP":"192.0.2.5","PublicIPv6":null,"BackendType":"vxlan",' +
        '"BackendData":{"VNI":1,"VtepMAC":"62:6a:42:19:e0:6f"}}',
    ],
    [
      'both families',
      DUAL,
      { VNI: 5 },
      '{"PublicIP":"192.0.2.5","PublicIPv6":"2001:db8::5","BackendType":"vxlan",' +
        '"BackendData":{"VNI":5,"VtepMAC":"ae:f8:c3:9c:7c:95"},' +
        '"BackendV6Data":{"VNI":5,"VtepMAC":"3a:82:e5:a7:c2:59"}}',
    ],
    [
      'IPv6 only',
      V6_ONLY,
      {},
      '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::5","BackendType":"vxlan",' +
        '"BackendV6Data":{"VNI":1,"VtepMAC":"56:ab:a5:33:0f:71"}}',
    ],
  ])(
    '%s: byte for byte as flanneld, with a MAC that is always the same',
    (_what, over, options, expected) => {
      expect(formatLeaseValue(open(options, { over }).attributes)).toBe(expected);
    },
  );

  test('a VNI beyond 16 bits is cut, as flanneld cuts it: it rejects a lease with a larger one', () => {
    expect(open({ VNI: 65_537 }).attributes.backendData).toMatchObject({ VNI: 1 });
    expect(linkOf({ VNI: 65_537 }).vni).toBe(65_537);
    expect(objection(lease('192.0.2.2', MAC, 1), { VNI: 65_537 })).toBeUndefined();
  });

  test('behind a NAT, what other hosts send to; the device sends from its own address', () => {
    expect(open({}, { iface: IFACE }).attributes.publicIp?.toString()).toBe('198.51.100.5');
    expect(linkOf({}, { iface: IFACE }).local.toString()).toBe('10.0.0.5');
  });

  test('another MAC for another host, VNI or family; each locally administered and of one device', () => {
    const macs = [
      linkOf().mac,
      linkOf({}, { nodeId: 'f'.repeat(32) }).mac,
      linkOf({ VNI: 2 }).mac,
      linkOf({}, { over: V6_ONLY }).mac,
    ];
    expect(new Set(macs).size).toBe(4);
    for (const mac of macs) expect(mac).toMatch(/^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
  });
});

describe('the host with vxlan', () => {
  test('IPv4: of each peer a neighbour, an FDB entry and a route', () => {
    const input = inputWith({
      '10.5.2.0-24': lease('192.0.2.2'),
      '10.5.3.0-24': lease('203.0.113.3', 'C6:D2:32:6F:8F:45'),
    });
    expect(linesOf(open().desired(input))).toEqual([
      'link corduroy.1 vxlan mtu 1450 10.5.1.0/32 mac 62:6a:42:19:e0:6f vni 1 port 8472 local 192.0.2.5 device eth0 ' +
        'learning false gbp false',
      'remote corduroy.1 10.5.2.0 is c6:d2:32:6f:8f:44 behind 192.0.2.2',
      'remote corduroy.1 10.5.3.0 is c6:d2:32:6f:8f:45 behind 203.0.113.3',
      'route 10.5.2.0/24 via 10.5.2.0 dev corduroy.1 onlink',
      'route 10.5.3.0/24 via 10.5.3.0 dev corduroy.1 onlink',
      'net/ipv4/conf/corduroy.1/forwarding=1',
      'net/ipv4/conf/corduroy.1/rp_filter=2',
      'net/ipv6/conf/corduroy.1/disable_ipv6=1',
    ]);
  });

  const dual = inputWith(
    {
      '10.5.2.0-24&fd00:5:0:2::-64': dualLease('192.0.2.2', '2001:db8::2'),
      '10.5.3.0-24': lease('192.0.2.3', 'c6:d2:32:6f:8f:45'),
    },
    { over: DUAL, subnets: ['10.5.1.0/24', 'fd00:5:0:1::/64'] },
  );

  test('both families: a device each, and of a peer with one family what it has', () => {
    const lines = linesOf(open({}, { over: DUAL }).desired(dual));
    expect(lines.filter((line) => !line.startsWith('net/'))).toEqual([
      'link corduroy.1 vxlan mtu 1450 10.5.1.0/32 mac 62:6a:42:19:e0:6f vni 1 port 8472 local 192.0.2.5 device eth0 ' +
        'learning false gbp false',
      'remote corduroy.1 10.5.2.0 is c6:d2:32:6f:8f:44 behind 192.0.2.2',
      'remote corduroy.1 10.5.3.0 is c6:d2:32:6f:8f:45 behind 192.0.2.3',
      'link corduroy6.1 vxlan mtu 1430 fd00:5:0:1::/128 mac 56:ab:a5:33:0f:71 vni 1 port 8472 local 2001:db8::5 ' +
        'device eth0 learning false gbp false',
      'remote corduroy6.1 fd00:5:0:2:: is c6:d2:32:6f:8f:46 behind 2001:db8::2',
      'route 10.5.2.0/24 via 10.5.2.0 dev corduroy.1 onlink',
      'route fd00:5:0:2::/64 via fd00:5:0:2:: dev corduroy6.1 onlink',
      'route 10.5.3.0/24 via 10.5.3.0 dev corduroy.1 onlink',
    ]);
    expect(lines).toContain('net/ipv6/conf/corduroy6.1/accept_ra=0');
    expect(lines).not.toContain('net/ipv6/conf/corduroy6.1/disable_ipv6=1');
    expect(lines).not.toContain('net/ipv4/conf/eth0/forwarding=1');
  });

  test('IPv6 only: no IPv4 anywhere, though the interface has it', () => {
    const input = inputWith(
      { 'fd00:5:0:2::-64': { ...dualLease('192.0.2.2', '2001:db8::2'), PublicIP: '0.0.0.0' } },
      { over: V6_ONLY, subnets: ['fd00:5:0:1::/64'] },
    );
    const { host } = open({}, { over: V6_ONLY }).desired(input);
    expect(host.links.map(({ name }) => name)).toEqual(['corduroy6.1']);
    expect(linesOf({ host })).toEqual(
      expect.arrayContaining([
        'remote corduroy6.1 fd00:5:0:2:: is c6:d2:32:6f:8f:46 behind 2001:db8::2',
        'route fd00:5:0:2::/64 via fd00:5:0:2:: dev corduroy6.1 onlink',
      ]),
    );
    expect(linesOf({ host }).filter((line) => line.includes('10.5.'))).toEqual([]);
  });

  test('what containers may send fits both devices', () => {
    expect(open().mtu).toBe(1450);
    expect(open({}, { over: DUAL }).mtu).toBe(1430);
    expect(open({}, { over: V6_ONLY }).mtu).toBe(1430);
  });

  test('MTU is that of the outer packet, as in flannel; more than the interface takes is said, and cut', () => {
    expect(open({ MTU: 1400 })).toMatchObject({ mtu: 1350, warnings: [] });
    const { mtu, warnings } = open({ MTU: 9000 });
    expect(mtu).toBe(1450);
    expect(warnings).toEqual([expect.stringMatching(/Backend\.MTU 9000, and eth0 takes no more than 1500/)]);
  });

  test('VNI, Port, Learning and GBP reach the device; port 0 is the default', () => {
    expect(linkOf({ VNI: 42, Port: 4789, Learning: true, GBP: true })).toMatchObject({
      name: 'corduroy.42',
      vni: 42,
      port: 4789,
      learning: true,
      gbp: true,
    });
    expect(linkOf({ Port: 0 }).port).toBe(8472);
    expect(linkOf({}, { names: namesFor('lab').devices }).name).toBe('cvx-lab');
  });

  test.each<[string, string, string | undefined, boolean | undefined]>([
    ['on', 'an old kernel', '4.19.0-27-amd64', true],
    ['off', 'a new kernel', '6.1.0-18-amd64', false],
    ['auto', 'a new kernel', '6.1.0-18-amd64', undefined],
    ['auto', 'the first with the change', '5.7.0', undefined],
    ['auto', 'the last without it', '5.6.19', false],
    ['auto', 'an old kernel', '4.19.0-27-amd64', false],
    ['auto', 'an unknown kernel', undefined, undefined],
  ])('TxChecksum %s with %s', (wish, _what, kernel, expected) => {
    const context = kernel === undefined ? {} : { kernel };
    const link = linkOf({ TxChecksum: wish }, context);
    expect(link.txChecksum).toBe(expected);
    // Who asks for nothing is no worse off without ethtool.
    if (expected !== undefined) expect(link.txChecksumOptional).toBe(wish === 'auto');
  });

  test('DirectRouting: a plain route to who is on the link, and the tunnel to who is not', () => {
    const backend = open({ DirectRouting: true }, { over: DUAL });
    const input = inputWith(
      {
        '10.5.2.0-24&fd00:5:0:2::-64': dualLease('192.0.2.2', '2001:db8::2'),
        '10.5.3.0-24&fd00:5:0:3::-64': dualLease('203.0.113.3', '2001:db8:1::3'),
      },
      { over: DUAL, subnets: ['10.5.1.0/24', 'fd00:5:0:1::/64'] },
    );
    const lines = linesOf(backend.desired(input));
    expect(lines.filter((line) => /^(route|remote)/.test(line))).toEqual([
      'remote corduroy.1 10.5.3.0 is c6:d2:32:6f:8f:44 behind 203.0.113.3',
      'remote corduroy6.1 fd00:5:0:3:: is c6:d2:32:6f:8f:46 behind 2001:db8:1::3',
      'route 10.5.2.0/24 via 192.0.2.2 dev eth0',
      'route fd00:5:0:2::/64 via 2001:db8::2 dev eth0',
      'route 10.5.3.0/24 via 10.5.3.0 dev corduroy.1 onlink',
      'route fd00:5:0:3::/64 via fd00:5:0:3:: dev corduroy6.1 onlink',
    ]);
    expect(lines).toContain('net/ipv4/conf/eth0/forwarding=1');
    expect(lines).toContain('net/ipv6/conf/eth0/force_forwarding=1');
    expect(input.peers.map((peer) => backend.isDirect(peer, []))).toEqual([true, false]);
    expect(input.peers.map((peer) => open({}, { over: DUAL }).isDirect(peer, []))).toEqual([false, false]);
  });

  test('what leads to a peer is the same objects for as long as its lease stays: only what changed is looked at', () => {
    const value = (mac: string) => JSON.stringify(lease('192.0.2.2', mac));
    const table = new LeaseTable(PREFIX, [
      entry('10.5.2.0-24', value(MAC)),
      entry('10.5.3.0-24', value('c6:d2:32:6f:8f:45'), 2),
    ]);
    const backend = open();
    const objects = () => {
      const { host } = backend.desired({ ...inputWith({}), peers: table.leases() });
      const [link] = host.links;
      return { routes: host.routes, remotes: link?.kind === 'vxlan' ? link.remotes : [] };
    };
    const before = objects();
    table.apply([{ kind: 'put', entry: entry('10.5.3.0-24', value('c6:d2:32:6f:8f:46'), 2) }]);
    const after = objects();
    expect(after.remotes.map((one, at) => one === before.remotes[at])).toEqual([true, false]);
    expect(after.routes.map((one, at) => one === before.routes[at])).toEqual([true, false]);
    expect(after.remotes[1]?.mac).toBe('c6:d2:32:6f:8f:46');
  });
});

test('an interface without an address of the family is refused with the remedy', () => {
  expect(() => open({}, { iface: IFACE, over: DUAL })).toThrow(
    /^eth0 has no IPv6 address, .* choose another/,
  );
});
