import { beforeEach, describe, expect, test } from 'vitest';
import { parseSubnets } from '../../../src/lease/administration/requested-subnets.ts';
import { Administered, by } from './administered.ts';
import { FOLDER, ME, nodeIdOf, OTHER } from './cluster.ts';
import { CONFIG_KEY, value } from './fixtures.ts';

const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'conflict', message: expect.stringMatching(message) });
const NOBODYS = '{"PublicIP":"0.0.0.0","PublicIPv6":null}';

let net: Administered;
beforeEach(async () => {
  net = await Administered.create();
});

describe('a free subnet', () => {
  test('for nobody: a key that no etcd lease ends, and that no host leases', async () => {
    expect(await net.reserve('10.5.1.0/24')).toMatchObject({
      action: 'reserved',
      says: 'reserved 10.5.1.0/24 for nobody',
      notes: [],
    });
    expect(await net.key('10.5.1.0-24')).toMatchObject({ value: NOBODYS, leaseId: undefined });
    const subnets: string[] = [];
    for (const publicIp of ['192.0.2.11', '192.0.2.12', '192.0.2.13'])
      subnets.push(await net.cluster.host({ publicIp }).subnet());
    expect(subnets.sort()).toEqual(['10.5.2.0/24', '10.5.3.0/24', '10.5.4.0/24']);
    await expect(net.cluster.host({ publicIp: '192.0.2.14' }).ensure()).rejects.toMatchObject({
      code: 'out-of-subnets',
    });
    net.cluster.pass(1_000_000);
    expect(await net.key('10.5.1.0-24')).toMatchObject({ value: NOBODYS });
  });

  test('for an address: as flannel would write it, and its host gets it', async () => {
    await net.reserve('10.5.3.0/24', by(ME));
    expect(await net.key('10.5.3.0-24')).toMatchObject({ value: value(ME), leaseId: undefined });
    expect(await net.side('10.5.3.0-24')).toBeUndefined();
    expect(await net.cluster.host().subnet()).toBe('10.5.3.0/24');
    expect((await net.key('10.5.3.0-24'))?.leaseId).toBeUndefined();
  });

  test('for a host that is not known yet: its name stands beside, and it gets it whatever its address', async () => {
    const { notes } = await net.reserve('10.5.3.0/24', { host: 'db1' });
    expect(notes.join()).toMatch(/^no host that is known now is db1/);
    expect((await net.key('10.5.3.0-24'))?.value).toBe(NOBODYS);
    expect(await net.side('10.5.3.0-24')).toBe('{"host":"db1"}');
    expect(await net.cluster.host({ publicIp: OTHER, hostName: 'web' }).subnet()).toBe('10.5.1.0/24');
    expect(await net.cluster.host({ hostName: 'db1' }).subnet()).toBe('10.5.3.0/24');
    expect(await net.key('10.5.3.0-24')).toMatchObject({ value: value(ME), leaseId: undefined });
  });

  test.each(['db1', nodeIdOf(ME)])(
    'for %s, a host with another lease: nobody sends there until it has taken it',
    async (host) => {
      await net.running({ hostName: 'db1' });
      const { notes } = await net.reserve('10.5.3.0/24', { host });
      expect((await net.key('10.5.3.0-24'))?.value).toBe(NOBODYS);
      expect(notes).toEqual([
        `${host} keeps the lease it has, 10.5.1.0/24, and takes this subnet when it has none: corduroy down --release there`,
      ]);
    },
  );

  test('for a name that two machines have: both are named', async () => {
    await net.running({ hostName: 'db1' });
    await net.running({ hostName: 'db1', publicIp: OTHER });
    const { notes } = await net.reserve('10.5.3.0/24', { host: 'db1' });
    expect((await net.key('10.5.3.0-24'))?.value).toBe(NOBODYS);
    expect(notes.join()).toContain(`Their node ids: ${[nodeIdOf(ME), nodeIdOf(OTHER)].sort().join(', ')}`);
  });

  test('what an earlier reservation left beside does not give it to that host', async () => {
    await net.putSide('10.5.3.0-24', 'db1');
    await net.reserve('10.5.3.0/24');
    expect(await net.side('10.5.3.0-24')).toBeUndefined();
    expect(await net.cluster.host({ hostName: 'db1' }).subnet()).toBe('10.5.1.0/24');
  });
});

describe('a leased subnet is pinned', () => {
  test.each([
    ['for whoever holds it', undefined, undefined],
    ['by its name', { host: 'db1' }, '{"host":"db1"}'],
    ['by its node id', { host: nodeIdOf(ME) }, `{"host":"${nodeIdOf(ME)}"}`],
    ['by its address', by(ME), undefined],
  ])('%s', async (_how, beneficiary, side) => {
    const host = await net.running({ hostName: 'db1' });
    const before = await net.key('10.5.1.0-24');
    expect(await net.reserve('10.5.1.0/24', beneficiary)).toMatchObject({
      action: 'pinned',
      says: 'reserved 10.5.1.0/24 for db1 (192.0.2.1), who goes on using it',
      notes: [],
    });
    expect(await net.key('10.5.1.0-24')).toMatchObject({ value: before?.value, leaseId: undefined });
    expect(await net.side('10.5.1.0-24')).toBe(side);
    await host.observe();
    expect(host.keeper.state.name).not.toBe('conflicted');
    expect((await host.ensure()).reserved).toBe(true);
    // Its record ends, the reservation does not: the host gets it again.
    net.cluster.stop(host);
    net.cluster.pass(1_000_000);
    expect(await net.cluster.host({ hostName: 'db1', random: (bound) => bound - 1 }).subnet()).toBe(
      '10.5.1.0/24',
    );
  });

  test.each([
    [
      'another name',
      { host: 'web' },
      /leased by db1 \(192\.0\.2\.1\), not by web\..*leases revoke 10\.5\.1\.0\/24/,
    ],
    ['another address', by(OTHER), /leased by db1 \(192\.0\.2\.1\), not by 192\.0\.2\.2\./],
  ])('refused for %s', async (_what, beneficiary, message) => {
    await net.running({ hostName: 'db1' });
    const before = await net.everything();
    await expect(net.reserve('10.5.1.0/24', beneficiary)).rejects.toEqual(refused(message));
    expect(await net.everything()).toBe(before);
  });

  test("flanneld's: with a word about what flanneld does to it", async () => {
    await net.cluster.lease('10.5.2.0-24');
    await expect(net.reserve('10.5.2.0/24', { host: 'db1' })).rejects.toEqual(
      refused(/without a node record/),
    );
    const { action, notes } = await net.reserve('10.5.2.0/24');
    expect([action, notes.join()]).toEqual([
      'pinned',
      expect.stringMatching(/^flanneld gives the key a time to live/),
    ]);
    expect(await net.key('10.5.2.0-24')).toMatchObject({ value: value(OTHER), leaseId: undefined });
  });

  test('what an earlier reservation left beside does not give it to that host', async () => {
    await net.running({ hostName: 'db1' });
    await net.putSide('10.5.1.0-24', 'web');
    await net.reserve('10.5.1.0/24');
    expect(await net.side('10.5.1.0-24')).toBeUndefined();
  });
});

describe('a reserved subnet', () => {
  test.each([
    ['nobody', undefined, undefined],
    ['db1', { host: 'db1' }, { host: 'db1' }],
    ['192.0.2.1', by(ME), by(ME)],
    ['db1', { host: 'db1' }, undefined],
    ['192.0.2.1', by(ME), undefined],
  ])('for %s: once more is nothing to do', async (whom, first, again) => {
    await net.reserve('10.5.3.0/24', first);
    const before = await net.everything();
    expect(await net.reserve('10.5.3.0/24', again)).toMatchObject({
      action: 'nothing',
      says: `10.5.3.0/24 is reserved already, for ${whom}`,
    });
    expect(await net.everything()).toBe(before);
  });

  test.each([
    ['db1', { host: 'db1' }, { host: 'web' }],
    ['db1', { host: 'db1' }, by(ME)],
    ['192.0.2.1', by(ME), by(OTHER)],
    ['192.0.2.1', by(ME), { host: 'web' }],
  ])('for %s: refused for another, with the command', async (whom, first, second) => {
    await net.reserve('10.5.3.0/24', first);
    const before = await net.everything();
    await expect(net.reserve('10.5.3.0/24', second)).rejects.toEqual(
      refused(new RegExp(`is reserved for ${whom}, not for .*: corduroy leases release 10\\.5\\.3\\.0/24$`)),
    );
    expect(await net.everything()).toBe(before);
  });

  test('for nobody: may be given to a host', async () => {
    await net.reserve('10.5.3.0/24');
    expect((await net.reserve('10.5.3.0/24', { host: 'db1' })).says).toBe(
      'reserved 10.5.3.0/24 for db1; it was reserved for nobody',
    );
    expect(await net.cluster.host({ hostName: 'db1' }).subnet()).toBe('10.5.3.0/24');
    await net.reserve('10.5.4.0/24');
    await net.reserve('10.5.4.0/24', by(OTHER));
    expect((await net.key('10.5.4.0-24'))?.value).toBe(value(OTHER));
  });

  test('for an address: may be bound to the host of that address', async () => {
    await net.reserve('10.5.3.0/24', by(ME));
    const host = await net.running({ hostName: 'db1' });
    expect((await net.reserve('10.5.3.0/24', { host: 'db1' })).action).toBe('reserved');
    expect(await net.side('10.5.3.0-24')).toBe('{"host":"db1"}');
    await host.observe();
    expect(await host.subnet()).toBe('10.5.3.0/24');
    expect((await net.key('10.5.3.0-24'))?.leaseId).toBeUndefined();
  });

  test('whose other key cannot be read is put right', async () => {
    await net.reserve('10.5.3.0/24', { host: 'db1' });
    await net.cluster.put(`/net/corduroy/reservations/10.5.3.0-24`, 'rubbish');
    expect((await net.reserve('10.5.3.0/24', { host: 'db1' })).action).toBe('reserved');
    expect(await net.side('10.5.3.0-24')).toBe('{"host":"db1"}');
  });
});

describe('what is taken otherwise', () => {
  test.each([
    [
      'a larger lease',
      '10.5.2.0-23',
      value(OTHER),
      /overlaps 10\.5\.2\.0\/23, which is taken \(\/net\/subnets\/10\.5\.2\.0-23, 192\.0\.2\.2/,
    ],
    [
      'a smaller one that cannot be read',
      '10.5.3.128-25',
      '[]',
      /overlaps 10\.5\.3\.128\/25.*malformed: the value has neither/,
    ],
  ])('%s', async (_what, name, content, message) => {
    await net.cluster.put(FOLDER + name, content);
    await expect(net.reserve('10.5.3.0/24')).rejects.toEqual(refused(message));
    expect(await net.key('10.5.3.0-24')).toBeUndefined();
  });

  test('a key of its own that cannot be read: with the command that deletes it', async () => {
    await net.cluster.put(`${FOLDER}10.5.3.0-24`, '\u001b[31mrubbish');
    await expect(net.reserve('10.5.3.0/24')).rejects.toEqual(
      refused(/cannot be read, .*: the value is not JSON\. .*leases revoke 10\.5\.3\.0\/24 --force$/),
    );
  });
});

describe('the network config', () => {
  test.each([
    [
      '10.5.1.0/25',
      /^10\.5\.1\.0\/25 is a \/25: this network 10\.5\.0\.0\/16 leases \/24, such as 10\.5\.1\.0\/24$/,
    ],
    ['10.6.1.0/24', /lies outside the network 10\.5\.0\.0\/16.*such as 10\.5\.1\.0\/24$/],
    ['10.5.0.0/24', /lies outside what is leased.* from 10\.5\.1\.0 to 10\.5\.4\.0, such as/],
    ['10.5.5.0/24', /lies outside what is leased/],
    ['fd00::/64', /has no IPv6 subnets/],
  ])('%s does not fit: wrong use', async (subnet, message) => {
    await expect(net.reserve(subnet)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(message),
    });
  });

  test('none: says how to write one', async () => {
    await net.cluster.store.transaction([], [{ do: 'delete', key: CONFIG_KEY }]);
    await expect(net.reserve('10.5.1.0/24')).rejects.toMatchObject({
      code: 'network-config',
      message: expect.stringContaining('corduroy config set'),
    });
  });

  test('not valid: says so', async () => {
    await net.configure({ Network: 'red' });
    await expect(net.reserve('10.5.1.0/24')).rejects.toMatchObject({ code: 'network-config' });
  });

  test('of both families: one subnet of each, or none', async () => {
    net = await Administered.create({ EnableIPv6: true, IPv6Network: 'fd00::/48' });
    await expect(net.reserve('10.5.1.0/24')).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/name both, such as 10\.5\.1\.0\/24 fd00:0:0:1::\/64$/),
    });
    await net.reserve('10.5.1.0/24 fd00:0:0:1::/64', { host: 'db1' });
    expect(await net.key('10.5.1.0-24&fd00:0:0:1::-64')).toMatchObject({ value: NOBODYS });
    expect(await net.side('10.5.1.0-24&fd00:0:0:1::-64')).toBe('{"host":"db1"}');
    // Half of it stands for it.
    expect((await net.release('10.5.1.0/24')).action).toBe('freed');
    expect(await net.everything()).not.toContain('fd00:0:0:1');
  });

  test.each(['0.0.0.0', '127.0.0.1', '224.0.0.1', '10.5.9.9'])(
    'no host has the address %s',
    async (address) => {
      await expect(net.reserve('10.5.1.0/24', by(address))).rejects.toMatchObject({ code: 'usage' });
    },
  );
});

describe('somebody else is faster', () => {
  const raced = expect.objectContaining({
    code: 'conflict',
    message: expect.stringMatching(/nothing was written.*again$/),
  });

  test('a host leases the subnet: it keeps it, and again pins it', async () => {
    net.race(async () => net.running());
    await expect(net.reserve('10.5.1.0/24')).rejects.toEqual(raced);
    expect((await net.key('10.5.1.0-24'))?.leaseId).toBeDefined();
    expect((await net.reserve('10.5.1.0/24')).action).toBe('pinned');
  });

  test('the network config changes', async () => {
    net.race(async () => net.configure({ Network: '10.9.0.0/16' }));
    await expect(net.reserve('10.5.1.0/24')).rejects.toEqual(raced);
    expect(await net.key('10.5.1.0-24')).toBeUndefined();
  });

  test('another reserves it for another', async () => {
    net.race(async () => net.reserve('10.5.1.0/24', { host: 'web' }));
    await expect(net.reserve('10.5.1.0/24', { host: 'db1' })).rejects.toEqual(raced);
    expect(await net.side('10.5.1.0-24')).toBe('{"host":"web"}');
  });

  test('the lease to be pinned goes to another host', async () => {
    await net.running();
    net.race(async () => net.cluster.lease('10.5.1.0-24', value(OTHER)));
    await expect(net.reserve('10.5.1.0/24')).rejects.toEqual(raced);
    expect((await net.key('10.5.1.0-24'))?.value).toBe(value(OTHER));
    expect((await net.key('10.5.1.0-24'))?.leaseId).toBeDefined();
  });

  test('another gives the reservation to its host', async () => {
    await net.reserve('10.5.1.0/24');
    net.race(async () => net.putSide('10.5.1.0-24', 'web'));
    await expect(net.reserve('10.5.1.0/24', { host: 'db1' })).rejects.toEqual(raced);
    expect(await net.side('10.5.1.0-24')).toBe('{"host":"web"}');
  });

  test('no answer though it was done: again is nothing to do', async () => {
    net.cluster.store.loseNextAnswer();
    await expect(net.reserve('10.5.1.0/24', { host: 'db1' })).rejects.toMatchObject({
      code: 'store-unavailable',
    });
    expect((await net.reserve('10.5.1.0/24', { host: 'db1' })).action).toBe('nothing');
  });
});

describe('subnets as they are typed', () => {
  test('in any order, IPv4 comes first', () => {
    expect(parseSubnets(['fd00:0:0:1::/64', '10.5.1.0/24']).map(String)).toEqual([
      '10.5.1.0/24',
      'fd00:0:0:1::/64',
    ]);
  });

  test.each([
    [['10.5.1.7/24'], /host bits set: the network is 10\.5\.1\.0\/24/],
    [['10.5.1.0'], /not a network in CIDR form, such as/],
    [['10.5.1.0/24', '10.5.2.0/24'], /no subnets of one lease/],
    [['10.5.1.0/24', 'fd00::/64', 'fd01::/64'], /no subnets of one lease/],
    [['\u001b[31m10.5.1.0/24'], /^"\\u001b\[31m/],
  ])('%j is wrong use', (texts, message) => {
    expect(() => parseSubnets(texts)).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.stringMatching(message) }),
    );
  });
});
