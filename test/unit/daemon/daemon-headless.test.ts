import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readNetworkMemory } from '../../../src/daemon/network-memory.ts';
import { LoneHost, type Running, until } from './lone-host.ts';

const B = '10.5.2.0/24 192.0.2.2:8285';
const C = '10.5.3.0/24 192.0.2.3:8285';
const stateFile = ({ folder }: LoneHost) => join(folder, 'state/network.json');
const remembered = (host: LoneHost) => readNetworkMemory(stateFile(host)).network;

/** A host that has seen two peers, and whose daemon has ended. */
async function seenTwoPeers(): Promise<LoneHost> {
  const host = await LoneHost.create();
  await host.lease('10.5.2.0-24', '192.0.2.2');
  await host.lease('10.5.3.0-24', '192.0.2.3');
  const before = host.start();
  await until(() => before.isHeld && existsSync(stateFile(host)));
  expect([before.subnet, host.engine?.routes]).toEqual(['10.5.1.0/24', [B, C]]);
  await before.stop();
  return host;
}

const problemsOf = ({ daemon }: Running) => daemon.problems.join('; ');

describe('a start without etcd', () => {
  test('sets up the network as it was, and says so, and of when', async () => {
    const host = await seenTwoPeers();
    host.store.setAvailable(false);
    host.reboot();
    const next = host.start();
    // An etcd that is known to be away is not waited for.
    await until(() => next.daemon.ready, 1000);
    expect([next.subnet, host.engine?.routes, host.subnetsInTurn]).toEqual([
      '10.5.1.0/24',
      [B, C],
      ['10.5.1.0/24'],
    ]);
    expect(next.daemon.leases.state.name).toBe('at-risk');
    const savedAt = remembered(host)?.savedAt.toISOString() ?? 'never';
    expect(problemsOf(next)).toContain(`running on the network as it was at ${savedAt}`);
    expect(next.log.loud.join('\n')).toMatch(
      /warn: etcd does not answer: setting up the network as it was at/,
    );
  });

  test('what is gone from etcd is removed only when etcd has said so in full', async () => {
    const host = await seenTwoPeers();
    await host.delete('10.5.3.0-24');
    host.store.setAvailable(false);
    const next = host.start();
    await until(() => next.daemon.ready);
    const before = host.wishes.length;
    host.store.interruptWatches();
    next.daemon.hint('host');
    await until(() => host.wishes.length > before);
    expect(host.engine?.routes).toEqual([B, C]);
    host.store.setAvailable(true);
    await until(() => next.isHeld && host.engine?.routes.length === 1);
    expect([host.engine?.routes, next.subnet, problemsOf(next)]).toEqual([[B], '10.5.1.0/24', '']);
    // The data plane that ran kept its table, which is as new as what is remembered or newer, until etcd had spoken.
    expect([host.launches, host.engine?.calls.filter((call) => call.startsWith('replace'))]).toEqual([
      1,
      ['replace 2', 'replace 1'],
    ]);
    expect(next.daemon.view.remembered).toBeUndefined();
  });

  test('etcd takes the connection and says nothing: after two seconds', async () => {
    const host = await seenTwoPeers();
    host.store.silent = true;
    host.reboot();
    const started = performance.now();
    const next = host.start();
    await until(() => next.daemon.ready, 4000);
    expect(performance.now() - started).toBeGreaterThan(1900);
    expect(host.engine?.routes).toEqual([B, C]);
    host.store.silent = false;
    await until(() => next.isHeld);
  });

  test('etcd answers within these seconds: nothing that was remembered is set up', async () => {
    const host = await seenTwoPeers();
    await host.delete('10.5.3.0-24');
    host.store.silent = true;
    host.reboot();
    const next = host.start();
    setTimeout(() => {
      host.store.silent = false;
    }, 300);
    await until(() => next.isHeld);
    expect(host.engine?.calls).not.toContain('replace 2');
    expect(next.log.loud).toEqual([]);
  });

  test.each<[string, (host: LoneHost) => void, RegExp]>([
    [
      'nothing is on disk',
      (host) => writeFileSync(stateFile(host), ''),
      /cannot be understood and is not used/,
    ],
    [
      'the disk was copied to another machine',
      (host) => {
        host.iface = { ...host.iface, mac: '02:00:00:00:00:99' };
      },
      /was saved by another machine: it is not used/,
    ],
  ])('%s: nothing is set up, and it is said why', async (_what, change, says) => {
    const host = await seenTwoPeers();
    host.store.setAvailable(false);
    host.reboot();
    change(host);
    const next = host.start();
    await until(() => says.test(next.log.loud.join('\n')));
    expect([next.daemon.ready, host.wishes, host.engine]).toEqual([false, [], undefined]);
    expect(problemsOf(next)).not.toBe('');
  });

  test('another host has leased the subnet meanwhile: it moves when etcd says so, and not before', async () => {
    const host = await seenTwoPeers();
    await host.lease('10.5.1.0-24', '192.0.2.9');
    host.store.setAvailable(false);
    const next = host.start();
    await until(() => next.daemon.ready);
    expect(next.subnet).toBe('10.5.1.0/24');
    host.store.setAvailable(true);
    await until(() => next.isHeld && host.subnetsInTurn.at(-1) === '10.5.4.0/24');
    expect(problemsOf(next)).toMatch(
      /subnet has changed from 10\.5\.1\.0\/24.* to 10\.5\.4\.0\/24: restart its containers/,
    );
    await until(() => remembered(host)?.subnets.join() === '10.5.4.0/24', 8000);
  }, 15_000);
});

describe('etcd was restored from a backup while this host was down', () => {
  /** The backup shows this host's subnet as another's, who has moved on since. */
  async function restored(): Promise<LoneHost> {
    const host = await LoneHost.create();
    await host.lease('10.5.1.0-24', '192.0.2.9');
    const backup = host.store.snapshot();
    await host.delete('10.5.1.0-24');
    const before = host.start();
    await until(() => before.isHeld && existsSync(stateFile(host)));
    expect(before.subnet).toBe('10.5.1.0/24');
    await before.stop();
    host.store.restore(backup);
    return host;
  }

  test.each([
    ['and etcd is there at the start', true],
    ['and comes back later', false],
  ])('%s: it stays until the other has put his own right', async (_what, available) => {
    const host = await restored();
    host.store.setAvailable(available);
    const next = host.start();
    if (!available) {
      await until(() => next.daemon.ready);
      host.store.setAvailable(true);
    }
    await until(() => next.daemon.view.complete && next.daemon.view.remembered === undefined);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(next.subnet).toBe('10.5.1.0/24');
    await host.delete('10.5.1.0-24');
    await until(() => next.isHeld);
    expect([next.subnet, next.daemon.leases.moved]).toEqual(['10.5.1.0/24', undefined]);
  });
});
