import { describe, expect, test } from 'vitest';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { entry, PREFIX } from '../lease/fixtures.ts';
import { check, DUAL, DUAL_IFACE, inputWith, openBackend, problemsOf, V6_ONLY } from './fixtures.ts';

const ALL = {
  Type: 'extension',
  PreStartupCommand: 'echo key',
  PostStartupCommand: 'post',
  SubnetAddCommand: 'add',
  SubnetRemoveCommand: 'remove',
  ShutdownCommand: 'down',
};
const PEER = { PublicIP: '192.0.2.7', PublicIPv6: null, BackendType: 'extension', BackendData: 'their key' };

describe('what is wrong with the options of the extension backend', () => {
  test.each<[object, string[]]>([
    [{ PreStartupCommand: 1 }, ['Backend.PreStartupCommand is 1: has to be a string']],
    [{ PostStartupCommand: ['a'] }, ['Backend.PostStartupCommand is ["a"]: has to be a string']],
    [{ SubnetAddCommand: true }, ['Backend.SubnetAddCommand is true: has to be a string']],
    [{ SubnetRemoveCommand: {} }, ['Backend.SubnetRemoveCommand is {}: has to be a string']],
    [
      { ShutdownCommand: 'a\0b' },
      ['Backend.ShutdownCommand is "a\\u0000b": has to be without NUL characters'],
    ],
    [{ MTU: 67 }, ['Backend.MTU is 67: has to be a whole number from 68 to 65535']],
  ])('%o', (options, expected) => {
    expect(problemsOf({ Type: 'extension', ...options })).toEqual(expected);
  });

  test('an MTU that IPv6 does not allow', () => {
    expect(problemsOf({ Type: 'extension', MTU: 1279 }, DUAL)).toEqual([
      'Backend.MTU is 1279: has to be a whole number from 1280 to 65535',
    ]);
  });

  test('a command under a wrong name is named', () => {
    expect(check({ Type: 'extension', SubnetAddCmd: 'x', SHUTDOWNCOMMAND: 'y' })).toMatchObject({
      problems: [],
      unknownKeys: ['Backend.SubnetAddCmd'],
    });
  });
});

describe('what the lease says of a host with the extension backend', () => {
  const leaseOf = (backend: object, printed = '') =>
    formatLeaseValue(
      openBackend({ Type: 'extension', ...backend }, { iface: DUAL_IFACE, printed }).attributes,
    );

  test.each<[string, object, string, string]>([
    [
      'what PreStartupCommand printed, as a JSON string',
      { PreStartupCommand: 'x' },
      'a "b"\nc',
      ',"BackendData":"a \\"b\\"\\nc"',
    ],
    ['an empty string, if it printed nothing', { PreStartupCommand: 'x' }, '', ',"BackendData":""'],
    ['nothing, where there is no such command', { PreStartupCommand: '  ' }, '', ''],
  ])('%s', (_what, backend, printed, data) => {
    expect(leaseOf(backend, printed)).toBe(
      `{"PublicIP":"192.0.2.5","PublicIPv6":null,"BackendType":"extension"${data}}`,
    );
  });

  test('more than a lease can hold is refused', () => {
    const open = () => leaseOf({ PreStartupCommand: 'x' }, 'x'.repeat(4000));
    expect(open).toThrow(/PreStartupCommand printed 4000 characters.*let it print less/);
  });

  test('only PreStartupCommand is needed before', () => {
    expect(check(ALL).value?.needs).toEqual({
      startCommand: { option: 'PreStartupCommand', line: 'echo key', environment: {}, input: '\n' },
    });
    expect(check({ Type: 'extension' }).value?.needs).toBeUndefined();
  });
});

describe('the MTU with the extension backend', () => {
  test("is the interface's, or what the config says", () => {
    expect(openBackend({ Type: 'extension' }).mtu).toBe(1500);
    expect(openBackend({ Type: 'extension', MTU: 1420 }).mtu).toBe(1420);
  });
});

describe("the extension backend's commands", () => {
  const key = `${PREFIX}/subnets/10.5.2.0-24`;

  test("flannel's variables and input, and nothing on the host", () => {
    const input = inputWith({ '10.5.2.0-24': PEER });
    const { host, datapath, commands } = openBackend(ALL, { iface: DUAL_IFACE }).desired(input);
    expect(host).toEqual({ links: [], routes: [], sysctls: [] });
    expect(datapath).toBeUndefined();
    const own = {
      NETWORK: '10.5.0.0/16',
      IPV6NETWORK: '',
      SUBNET: '10.5.1.0/24',
      IPV6SUBNET: '',
      PUBLIC_IP: '192.0.2.5',
      PUBLIC_IPV6: '',
    };
    const theirs = { SUBNET: '10.5.2.0/24', IPV6SUBNET: '', PUBLIC_IP: '192.0.2.7', PUBLIC_IPV6: '' };
    const input2 = 'their key\n';
    expect(commands).toEqual({
      started: { option: 'PostStartupCommand', line: 'post', environment: own, input: '\n' },
      shutdown: { option: 'ShutdownCommand', line: 'down', environment: own, input: '\n' },
      peers: new Map([
        [
          key,
          {
            added: { option: 'SubnetAddCommand', line: 'add', environment: theirs, input: input2 },
            removed: { option: 'SubnetRemoveCommand', line: 'remove', environment: theirs, input: input2 },
          },
        ],
      ]),
    });
  });

  test('both families', () => {
    const value = { ...PEER, PublicIPv6: '2001:db8::7' };
    const input = inputWith(
      { '10.5.2.0-24&fd00:5:0:2::-64': value },
      { over: DUAL, subnets: ['10.5.1.0/24', 'fd00:5:0:1::/64'] },
    );
    const { commands } = openBackend(ALL, { over: DUAL, iface: DUAL_IFACE }).desired(input);
    expect(commands?.started?.environment).toEqual({
      NETWORK: '10.5.0.0/16',
      IPV6NETWORK: 'fd00:5::/48',
      SUBNET: '10.5.1.0/24',
      IPV6SUBNET: 'fd00:5:0:1::/64',
      PUBLIC_IP: '192.0.2.5',
      PUBLIC_IPV6: '2001:db8::5',
    });
    expect([...(commands?.peers.values() ?? [])][0]?.added?.environment).toEqual({
      SUBNET: '10.5.2.0/24',
      IPV6SUBNET: 'fd00:5:0:2::/64',
      PUBLIC_IP: '192.0.2.7',
      PUBLIC_IPV6: '2001:db8::7',
    });
  });

  test('IPv6 only', () => {
    const { attributes } = openBackend(ALL, { over: V6_ONLY, iface: DUAL_IFACE });
    expect(formatLeaseValue(attributes)).toMatch(/^{"PublicIP":"0\.0\.0\.0","PublicIPv6":"2001:db8::5",/);
  });

  test("what another host's lease says stands in no command line", () => {
    const evil = '$(touch /tmp/x); `touch /tmp/y` "\'';
    const input = inputWith({ '10.5.2.0-24': { ...PEER, BackendData: evil } });
    const peer = openBackend(ALL).desired(input).commands?.peers.get(key);
    expect(peer?.added).toMatchObject({ line: 'add', input: `${evil}\n` });
    expect(JSON.stringify(peer?.added?.environment)).not.toContain('touch');
  });

  test('are the same objects for as long as a lease stays as it is', () => {
    const backend = openBackend(ALL);
    const input = inputWith({ '10.5.2.0-24': PEER });
    const added = () => backend.desired(input).commands?.peers.get(key)?.added;
    expect(added()).toBe(added());
  });

  test.each<[string, object, string | RegExp | undefined]>([
    ['of its kind', PEER, undefined],
    ['without data', { PublicIP: '192.0.2.7', BackendType: 'extension' }, undefined],
    ['of flanneld with another backend', { ...PEER, BackendType: 'vxlan' }, /vxlan/],
    ['of udp, which names none', { PublicIP: '192.0.2.7' }, /udp/],
    [
      'with data that is no string',
      { ...PEER, BackendData: { VNI: 1 } },
      'its BackendData is no JSON string',
    ],
  ])('a lease %s', (_what, value, expected) => {
    const table = new LeaseTable(PREFIX, [entry('10.5.2.0-24', JSON.stringify(value))]);
    const [lease] = table.leases();
    if (lease === undefined) throw new Error('the lease of this test is not valid');
    const objection = openBackend(ALL).objectionTo(lease);
    if (expected instanceof RegExp) expect(objection).toMatch(expected);
    else expect(objection).toBe(expected);
  });
});
