import { expect, test } from 'vitest';
import { CorduroyError } from '../../../src/errors.ts';
import { LoneHost, until } from './lone-host.ts';

const fails = (message: string) => () => {
  throw new CorduroyError('host-command', message, { retryable: true });
};

test('a firewall that cannot be set keeps nothing waiting for this host: it is a problem', async () => {
  const host = await LoneHost.create();
  await host.lease('10.5.2.0-24', '192.0.2.2');
  host.firewall = fails('iptables cannot be read');
  const { daemon, log } = host.start();
  await until(() => daemon.ready);
  expect([daemon.problems, host.engine?.routes.length]).toEqual([['iptables cannot be read'], 1]);
  expect(log.lines.filter((line) => line.includes('ready: '))).toHaveLength(1);
  // It is tried again all the same, without anything that wakes the daemon.
  host.firewall = () => undefined;
  await until(() => daemon.problems.length === 0);
  expect(daemon.ready).toBe(true);
  expect(log.lines.filter((line) => line.includes('ready: '))).toHaveLength(1);
});

test('without subnet.env nothing is connected: it is not ready before that is written', async () => {
  const host = await LoneHost.create();
  host.subnetFile = fails('the disk is full');
  const { daemon } = host.start();
  await until(() => daemon.problems.includes('the disk is full'));
  expect(daemon.ready).toBe(false);
  host.subnetFile = () => undefined;
  await until(() => daemon.ready);
});

test('what the kernel refuses of single hosts is a problem, and keeps nothing waiting for this one', async () => {
  const host = await LoneHost.create();
  host.links = () => {
    throw new CorduroyError('host-in-part', 'still to do: route add 10.5.2.0/24', { retryable: true });
  };
  const { daemon } = host.start();
  await until(() => daemon.ready);
  expect(daemon.problems).toEqual(['still to do: route add 10.5.2.0/24']);
  host.links = () => undefined;
  await until(() => daemon.problems.length === 0);
});

test('without its links the host is not ready', async () => {
  const host = await LoneHost.create();
  host.links = fails('no device');
  const { daemon } = host.start();
  await until(() => daemon.problems.includes('no device'));
  await until(() => host.engine !== undefined);
  expect(daemon.ready).toBe(false);
});
