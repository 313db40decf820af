import { expect, test } from 'vitest';
import { CorduroyError } from '../../../src/errors.ts';
import { DUAL_IFACE } from '../backend/fixtures.ts';
import { CONFIG_KEY } from '../lease/fixtures.ts';
import { LoneHost, until } from './lone-host.ts';

const VXLAN = JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan' } });
const linksOf = (host: LoneHost) => host.wishes.at(-1)?.host.links.map(({ name }) => name);

test('a changed backend: the lease speaks of it once the host has it, and what was before goes on until then', async () => {
  const host = await LoneHost.create();
  host.iface = DUAL_IFACE;
  const one = host.start();
  await until(() => one.isHeld);
  const said = () => one.daemon.leases.held?.attributes.backendType;

  host.subnetFile = () => {
    throw new CorduroyError('host-file', 'the disk is full', { retryable: true });
  };
  await host.put(CONFIG_KEY, VXLAN);
  await until(() => one.daemon.problems.join().includes('the disk is full'));
  expect([said(), linksOf(host)]).toEqual([undefined, ['corduroy.1', 'corduroy0']]);
  // Nobody else has to follow; this host has not, itself.
  host.ahead += 10_000;
  one.daemon.hint('host');
  await until(() => one.daemon.progressAt > host.now() - 1000);
  expect([said(), linksOf(host)]).toEqual([undefined, ['corduroy.1', 'corduroy0']]);

  host.subnetFile = () => undefined;
  one.daemon.hint('host');
  await until(() => said() === 'vxlan');
  host.ahead += 3000;
  one.daemon.hint('host');
  await until(() => linksOf(host)?.join() === 'corduroy.1');
  await until(() => one.isHeld && host.engine?.alive === false);
});

test('also of a daemon that starts with it: what the one before has said stands until then', async () => {
  const host = await LoneHost.create();
  host.iface = DUAL_IFACE;
  const before = host.start();
  await until(() => before.isHeld);
  await before.stop();
  await host.put(CONFIG_KEY, VXLAN);
  host.subnetFile = () => {
    throw new CorduroyError('host-file', 'the disk is full', { retryable: true });
  };
  const one = host.start();
  await until(() => one.daemon.problems.join().includes('the disk is full'));
  const said = () => one.daemon.leases.held?.attributes.backendType;
  expect([one.daemon.leases.state.name, said()]).toEqual(['held', undefined]);
  host.subnetFile = () => undefined;
  one.daemon.hint('host');
  await until(() => one.isHeld && said() === 'vxlan');
});

test('a config with other subnets, whose backend cannot be opened: the lease stays, and what there is is repaired', async () => {
  const host = await LoneHost.create();
  host.iface = { ...DUAL_IFACE, mtu: 1300 };
  await host.put(CONFIG_KEY, VXLAN);
  const one = host.start();
  await until(() => one.isHeld);
  const before = one.subnet;

  const both = { Network: '10.5.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:5::/48' };
  await host.put(CONFIG_KEY, JSON.stringify({ ...both, Backend: { Type: 'vxlan' } }));
  await until(() => one.daemon.problems.join().includes('1280'));
  const done = host.wishes.length;
  one.daemon.hint('host');
  await until(() => host.wishes.length > done);
  expect([one.subnet, linksOf(host), one.daemon.ready]).toEqual([before, ['corduroy.1'], true]);
  expect(one.log.lines.filter((line) => line.includes('1280'))).toHaveLength(1);

  host.iface = DUAL_IFACE;
  one.daemon.hint('interface');
  await until(() => one.daemon.leases.subnets.length === 2 && one.isHeld);
  expect(one.subnet).toContain(before);
});
