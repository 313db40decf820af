import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NetworkMemory, readNetworkMemory } from '../../../src/daemon/network-memory.ts';
import { nodeKey } from '../../../src/lease/node-record.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { nodeIdOf } from '../lease/cluster.ts';
import { PREFIX } from '../lease/fixtures.ts';
import { LoneHost, type Running, until } from './lone-host.ts';
import { temporaryFolder } from './temporary-folder.ts';

const stateFile = ({ folder }: LoneHost) => join(folder, 'state/network.json');
const problemsOf = ({ daemon }: Running) => daemon.problems.join('; ');

/** A host whose daemon has held 10.5.1.0/24 and ended. */
async function seen(): Promise<LoneHost> {
  const host = await LoneHost.create();
  await host.lease('10.5.2.0-24', '192.0.2.2');
  const before = host.start();
  await until(() => before.isHeld && existsSync(stateFile(host)));
  await before.stop();
  return host;
}

function rewrite(host: LoneHost, change: Record<string, unknown>): void {
  const document = JSON.parse(readFileSync(stateFile(host), 'utf8')) as Record<string, unknown>;
  writeFileSync(stateFile(host), JSON.stringify({ ...document, ...change }));
}

describe('network.json cannot be written', () => {
  test('a file stands where the state-dir belongs: a problem, and everything else goes on', async () => {
    const host = await LoneHost.create();
    writeFileSync(join(host.folder, 'state'), '');
    const one = host.start();
    await until(() => problemsOf(one).includes('cannot be written'));
    expect(problemsOf(one)).toMatch(/state\/network\.json cannot be written .*while etcd is away/);
    await host.lease('10.5.3.0-24', '192.0.2.3');
    await until(() => one.isHeld && host.engine?.routes.length === 1);
    await one.stop();
    expect(readFileSync(join(host.folder, 'state'), 'utf8')).toBe('');
  });

  test('the state-dir lies below a file: said once, and the end is not held up', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    const said: string[] = [];
    const path = join(file, 'state/network.json');
    const onFailure = (text: string) => said.push(text);
    const memory = new NetworkMemory({ path, onFailure, onSuccess: () => said.push('well') });
    const network = {
      savedAt: new Date(0),
      nodeId: '',
      hardware: '',
      prefix: PREFIX,
      revision: 1n,
      subnets: [Prefix.parse('10.5.1.0/24')],
      entries: [],
    };
    memory.save(() => network);
    await until(() => said.length === 1);
    memory.save(() => network);
    await memory.close();
    expect(said).toEqual([expect.stringMatching(/file\/state\/network\.json cannot be written/)]);
    // The path is free at last: whoever comes next writes it.
    rmSync(file);
    const next = new NetworkMemory({ path, onFailure, onSuccess: () => undefined });
    next.save(() => network);
    await next.close();
    expect(readNetworkMemory(path).network?.revision).toBe(1n);
  });

  test('what a daemon that was killed left behind is used up by the next one: there is one such name', async () => {
    const host = await seen();
    writeFileSync(`${stateFile(host)}.tmp`, '{"half');
    await host.lease('10.5.3.0-24', '192.0.2.3');
    const next = host.start();
    await until(() => next.isHeld && readNetworkMemory(stateFile(host)).network?.entries.length === 5);
    await next.stop();
    expect(readdirSync(join(host.folder, 'state'))).toEqual(['network.json']);
  });

  test('and where that name is taken by a folder: a problem, not the end', async () => {
    const host = await LoneHost.create();
    mkdirSync(`${stateFile(host)}.tmp`, { recursive: true });
    const one = host.start();
    await until(() => one.isHeld && problemsOf(one).includes('cannot be written'));
    await one.stop();
  });
});

describe("network.json and this machine's record in etcd", () => {
  /** As if it had been written in the middle of another life of this host. */
  async function withMemory(revision: (record: bigint) => bigint): Promise<Running> {
    const host = await seen();
    const record = await host.store.get(nodeKey(PREFIX, nodeIdOf('this')));
    rewrite(host, { subnets: ['10.5.7.0/24'], revision: String(revision(record?.modRevision ?? 0n)) });
    const next = host.start();
    await until(() => next.isHeld);
    expect(next.daemon.leases.moved).toBeUndefined();
    return next;
  }

  test('older than the record: the record names the subnet', async () => {
    expect((await withMemory((record) => record - 1n)).subnet).toBe('10.5.1.0/24');
  });

  test('as new as the record: the file does', async () => {
    expect((await withMemory((record) => record)).subnet).toBe('10.5.7.0/24');
  });
});

test('another interface is chosen, and the machine is known again: network.json is judged anew', async () => {
  const host = await seen();
  const own = host.iface;
  host.iface = { ...own, mac: '02:00:00:00:00:99' };
  host.store.setAvailable(false);
  host.reboot();
  const next = host.start();
  await until(() => next.log.loud.join().includes('was saved by another machine'));
  for (let count = 0; count < 3; count++) {
    next.daemon.hint('interface');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(next.log.loud.filter((line) => line.includes('another machine'))).toHaveLength(1);
  expect([next.daemon.ready, host.wishes]).toEqual([false, []]);
  host.iface = own;
  next.daemon.hint('interface');
  await until(() => next.daemon.ready);
  expect([next.subnet, host.engine?.routes]).toEqual(['10.5.1.0/24', ['10.5.2.0/24 192.0.2.2:8285']]);
});
