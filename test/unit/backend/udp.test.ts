import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DatapathWishes } from '../../../src/backend/backend.ts';
import { formatProblem } from '../../../src/config/network-config.ts';
import { formatInterfaceAddress, formatRoute } from '../../../src/host/state.ts';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { formatEndpoint } from '../../../src/net/endpoint.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { entry, FOUR, PREFIX, value } from '../lease/fixtures.ts';
import { check, IFACE, openBackend } from './fixtures.ts';

function open(backend: object = {}, datapath: Partial<DatapathWishes> = {}) {
  return openBackend(backend, { datapath: { engine: undefined, offload: true, queues: 1, ...datapath } });
}

describe('what a network config asks of its backend', () => {
  test.each<[object, object, string[]]>([
    [{ Port: 0 }, {}, ['Backend.Port is 0: has to be a whole number from 1 to 65535']],
    [{ Port: 65_536 }, {}, ['Backend.Port is 65536: has to be a whole number from 1 to 65535']],
    [{ Port: '8285' }, {}, ['Backend.Port is "8285": has to be a whole number from 1 to 65535']],
    [{ Engine: 'c' }, {}, ['Backend.Engine is "c": has to be one of native, dgram']],
    [{ Engine: 1 }, {}, ['Backend.Engine is 1: has to be one of native, dgram']],
    [{ ECN: 'yes' }, {}, ['Backend.ECN is "yes": has to be true or false']],
    [{ Engine: 'dgram', ECN: true }, {}, ['Backend.ECN is true: has to be false with the dgram engine']],
    [{ DirectRouting: 'x' }, {}, ['Backend.DirectRouting is "x": has to be true or false']],
    [{ StrictSource: 1 }, {}, ['Backend.StrictSource is 1: has to be true or false']],
    [
      { Port: -1, StrictSource: 'no' },
      {},
      [
        'Backend.Port is -1: has to be a whole number from 1 to 65535',
        'Backend.StrictSource is "no": has to be true or false',
      ],
    ],
  ])('%o %o', (backend, over, expected) => {
    const { value: design, problems } = check(backend, { Network: '10.5.0.0/16', ...over });
    expect(problems.map(formatProblem)).toEqual(expected);
    expect(design).toBeUndefined();
  });

  test('options that mean nothing are named', () => {
    expect(check({ type: 'udp', PORT: 1, Vni: 1 })).toMatchObject({
      problems: [],
      unknownKeys: ['Backend.Vni'],
    });
  });
});

describe('the routes to peers, asked for again and again', () => {
  const subnets = [Prefix.parse('10.5.1.0/24')];
  const leaseOf = (at: number, last: number) => entry(`10.5.${at}.0-24`, value(`192.0.2.${last}`), at);
  const leases = new LeaseTable(
    PREFIX,
    [2, 3, 4, 5, 6].map((at) => leaseOf(at, at)),
  ).leases();

  test('are what a backend says that is asked for the first time, whoever comes, goes, and comes again', () => {
    fc.assert(
      fc.property(fc.array(fc.shuffledSubarray(leases), { minLength: 1 }), (rounds) => {
        const backend = open();
        for (const peers of rounds) {
          const input = { ranges: FOUR, subnets, peers, capabilitiesOf: () => [] };
          expect(backend.desired(input).datapath).toEqual(open().desired(input).datapath);
        }
      }),
    );
  });

  test('are the same objects while their leases are', () => {
    const table = new LeaseTable(PREFIX, [leaseOf(2, 2), leaseOf(3, 3), leaseOf(4, 4)]);
    const backend = open();
    const routes = () => {
      const { datapath } = backend.desired({
        ranges: FOUR,
        subnets,
        peers: table.leases(),
        capabilitiesOf: () => [],
      });
      return datapath?.routes ?? [];
    };
    const [second, third, fourth] = routes();
    table.apply([{ kind: 'put', entry: leaseOf(3, 9) }]);
    const [secondNow, thirdNow, fourthNow] = routes();
    expect([secondNow === second, thirdNow === third, fourthNow === fourth]).toEqual([true, false, true]);
  });
});

describe('the udp backend', () => {
  const subnets = [Prefix.parse('10.5.1.0/24')];
  const peers = new LeaseTable(PREFIX, [
    entry('10.5.2.0-24', value('192.0.2.2')),
    entry('10.5.3.0-24', '{"PublicIP":"192.0.2.3","BackendType":"vxlan"}'),
    entry('10.5.4.0-24', '{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::4"}'),
  ]).leases();
  const input = { ranges: FOUR, subnets, peers, capabilitiesOf: () => [] };

  test('leaves room for 28 bytes of headers, and publishes an address and nothing else', () => {
    expect(open()).toMatchObject({
      mtu: 1472,
      attributes: { publicIp: IFACE.v4?.publicIp, publicIpv6: undefined },
    });
    expect(Object.keys(open().attributes).sort()).toEqual(['publicIp', 'publicIpv6']);
  });

  test("the host: flannel's tunnel device, and the whole network by it", () => {
    const { host } = open().desired(input);
    expect(host.links).toMatchObject([{ name: 'corduroy0', kind: 'tun', mtu: 1472 }]);
    expect(host.links[0]?.addresses.map(formatInterfaceAddress)).toEqual(['10.5.1.0/32']);
    expect(host.routes.map(formatRoute)).toEqual(['10.5.0.0/16 dev corduroy0']);
    expect(host.sysctls).toContainEqual({ path: 'net/ipv4/conf/corduroy0/forwarding', value: '1' });
  });

  test('the data plane: every lease with an IPv4 address is a route, whatever its BackendType', () => {
    const { datapath } = open().desired(input);
    expect(datapath?.routes.map(({ prefix, peer }) => `${prefix} ${formatEndpoint(peer)}`)).toEqual([
      '10.5.2.0/24 192.0.2.2:8285',
      '10.5.3.0/24 192.0.2.3:8285',
    ]);
    expect(datapath?.local).toEqual(subnets);
    expect(datapath?.config).toEqual({
      tunName: 'corduroy0',
      mtu: 1472,
      listen: { address: IFACE.v4?.address, port: 8285 },
      icmpSources: [Ip.parse('10.5.1.0')],
      strictSource: true,
      offload: true,
      ecn: false,
      queues: 1,
    });
  });

  test('Port is where it listens and where the others do; StrictSource is handed on', () => {
    const { datapath } = open({ port: 9000, strictsource: false }).desired(input);
    expect(datapath?.config).toMatchObject({ listen: { port: 9000 }, strictSource: false });
    expect(datapath?.routes.map(({ peer }) => peer.port)).toEqual([9000, 9000]);
  });

  test.each<[string, object, Partial<DatapathWishes>, string, object]>([
    ['native, unless something else is said', {}, {}, 'native', { offload: true, ecn: false, queues: 1 }],
    ['the network config says', { Engine: 'DGRAM' }, {}, 'dgram', {}],
    ["the host's flag wins", { Engine: 'dgram' }, { engine: 'native' }, 'native', {}],
    [
      'offload, ECN and queues',
      { ECN: true },
      { offload: false, queues: 4 },
      'native',
      { offload: false, ecn: true, queues: 4 },
    ],
    [
      'dgram has one queue and no ECN',
      { ECN: true },
      { engine: 'dgram', queues: 4 },
      'dgram',
      { ecn: false, queues: 1 },
    ],
  ])('the engine: %s', (_what, backend, flags, engine, config) => {
    const { host, datapath } = open(backend, flags).desired(input);
    expect(datapath?.engine).toBe(engine);
    expect(datapath?.config).toMatchObject(config);
    expect(host.links[0]).toMatchObject({ queues: datapath?.config.queues });
  });
});
