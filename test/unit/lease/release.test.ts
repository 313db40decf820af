import { beforeEach, describe, expect, test } from 'vitest';
import type { LeaseId } from '../../../src/store/store.ts';
import { Administered, by } from './administered.ts';
import { FOLDER, ME, OTHER } from './cluster.ts';
import { value } from './fixtures.ts';

const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'conflict', message: expect.stringMatching(message) });

let net: Administered;
beforeEach(async () => {
  net = await Administered.create();
});

describe('a reservation in use', () => {
  test.each([
    ['that its host took', true],
    ['that its lease was pinned to', false],
  ])('%s becomes a lease on the etcd lease of its host, and ends with it', async (_how, before) => {
    if (before) await net.reserve('10.5.1.0/24', { host: 'db1' });
    const host = await net.running({ hostName: 'db1' });
    if (!before) await net.reserve('10.5.1.0/24', { host: 'db1' });
    await host.observe();
    expect(await host.ensure()).toMatchObject({ reserved: true });

    expect(await net.release('10.5.1.0/24')).toMatchObject({
      action: 'released',
      says: '10.5.1.0/24 is a lease like any other now, of db1 (192.0.2.1), who goes on using it',
    });
    expect(await net.side('10.5.1.0-24')).toBeUndefined();
    const { session } = await host.ensure();
    expect(await net.key('10.5.1.0-24')).toMatchObject({ value: value(ME), leaseId: session.id });
    await host.observe();
    expect(host.keeper.state.name).not.toBe('conflicted');
    expect(await host.ensure()).toMatchObject({ reserved: false });
    expect(await host.subnet()).toBe('10.5.1.0/24');
    net.cluster.stop(host);
    net.cluster.pass(1_000_000);
    expect(await net.cluster.leases()).toEqual([]);
  });

  test('its host writes its record meanwhile: nothing is done, and again it works', async () => {
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    const host = await net.running({ hostName: 'db1' });
    net.race(async () => {
      host.become({ publicIp: OTHER });
      await host.ensure();
    });
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(refused(/nothing was written/));
    expect((await net.key('10.5.1.0-24'))?.leaseId).toBeUndefined();
    expect((await net.release('10.5.1.0/24')).action).toBe('released');
    expect((await net.key('10.5.1.0-24'))?.value).toBe(value(OTHER));
  });

  test.each([
    ['its key alone', (id: LeaseId) => net.cluster.put(`${FOLDER}10.5.1.0-24`, value(OTHER), id)],
    ['its record alone', (id: LeaseId) => net.moveRecords(id)],
  ])('%s is written over meanwhile, bound to another etcd lease: nothing is done', async (_what, write) => {
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    await net.running({ hostName: 'db1' });
    const { id } = await net.cluster.store.grantLease(60);
    net.race(async () => write(id));
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(refused(/nothing was written/));
    expect(await net.side('10.5.1.0-24')).toBe('{"host":"db1"}');
  });

  test('another says meanwhile whom it is for: nothing is done', async () => {
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    await net.running({ hostName: 'db1' });
    net.race(async () => net.putSide('10.5.1.0-24', 'web'));
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(refused(/nothing was written/));
    expect(await net.side('10.5.1.0-24')).toBe('{"host":"web"}');
  });

  test('its host gives it back meanwhile: nothing is done, and again it is free', async () => {
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    const host = await net.running({ hostName: 'db1' });
    net.race(async () => host.keeper.release());
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(refused(/nothing was written/));
    expect((await net.release('10.5.1.0/24')).action).toBe('freed');
  });

  test('the etcd lease of its host ends meanwhile: nothing is done, and again it is free', async () => {
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    await net.running({ hostName: 'db1' });
    net.race(async () => net.cluster.pass(86_500));
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(refused(/nothing was written/));
    expect((await net.release('10.5.1.0/24')).action).toBe('freed');
  });
});

describe('a reservation that is not in use', () => {
  test.each([
    ['nobody', undefined],
    ['db1', { host: 'db1' } as const],
    [ME, by(ME)],
  ])('for %s is deleted, and the subnet is free', async (whom, beneficiary) => {
    const before = await net.everything();
    await net.reserve('10.5.1.0/24', beneficiary);
    expect(await net.release('10.5.1.0/24')).toMatchObject({
      action: 'freed',
      says: `deleted the reservation of 10.5.1.0/24, which was for ${whom}`,
    });
    expect(await net.everything()).toBe(before);
    expect(await net.cluster.host({ publicIp: '192.0.2.9' }).subnet()).toBe('10.5.1.0/24');
  });

  test('for a host that uses another subnet: that one stays as it is', async () => {
    const host = await net.running({ hostName: 'db1' });
    await net.reserve('10.5.2.0/24', { host: 'db1' });
    expect((await net.release('10.5.2.0/24')).action).toBe('freed');
    await host.observe();
    expect(host.keeper.state.name).toBe('held');
  });

  test('its host takes it meanwhile: nothing is done, and again it becomes a lease', async () => {
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    net.race(async () => net.running({ hostName: 'db1' }));
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(refused(/nothing was written/));
    expect((await net.release('10.5.1.0/24')).action).toBe('released');
  });
});

describe('what is no reservation', () => {
  test("a host's lease: refused, with the command for leases", async () => {
    await net.running({ hostName: 'db1' });
    const before = await net.everything();
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(
      refused(/no reservation: db1 \(192\.0\.2\.1\) leases it\..*corduroy leases revoke 10\.5\.1\.0\/24$/),
    );
    expect(await net.everything()).toBe(before);
  });

  test('a key that cannot be read', async () => {
    await net.cluster.put(`${FOLDER}10.5.1.0-24`, 'rubbish');
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(
      refused(/not JSON\..*revoke 10\.5\.1\.0\/24 --force$/),
    );
  });

  test('nothing at all: nothing to do; what overlaps is named', async () => {
    await net.reserve('10.5.1.0/24');
    expect(await net.release('10.5.2.0/24')).toMatchObject({ action: 'nothing', notes: [] });
    expect(await net.release('10.5.1.0/25')).toMatchObject({
      action: 'nothing',
      notes: ['10.5.1.0/24 overlaps it: is that the one that is meant?'],
    });
  });

  test('what is left beside a key that somebody deleted by hand goes', async () => {
    await net.putSide('10.5.1.0-24', 'db1');
    expect((await net.release('10.5.1.0/24')).action).toBe('freed');
    expect(await net.side('10.5.1.0-24')).toBeUndefined();
  });

  test('a subnet that two keys name: neither is meant', async () => {
    await net.cluster.reserve('10.5.1.0-24&fd00:0:0:1::-64');
    await net.cluster.reserve('10.5.1.0-24&fd00:0:0:2::-64');
    await expect(net.release('10.5.1.0/24')).rejects.toEqual(
      refused(/name all subnets of the one that is meant$/),
    );
    expect((await net.release('10.5.1.0/24 fd00:0:0:2::/64')).action).toBe('freed');
    expect(await net.cluster.leases()).toEqual([`10.5.1.0-24&fd00:0:0:1::-64 ${OTHER}`]);
  });
});
