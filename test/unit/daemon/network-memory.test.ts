import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  NetworkMemory,
  objectionTo,
  type RememberedNetwork,
  readNetworkMemory,
} from '../../../src/daemon/network-memory.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { entry, PREFIX, value } from '../lease/fixtures.ts';
import { temporaryFolder } from './temporary-folder.ts';

const NETWORK: RememberedNetwork = {
  savedAt: new Date('2025-01-02T03:04:05.678Z'),
  nodeId: '6f0e',
  hardware: '91ab',
  prefix: PREFIX,
  revision: 9_007_199_254_740_993n, // More than a double can hold.
  subnets: [Prefix.parse('10.5.1.0/24')],
  entries: [entry('10.5.1.0-24', value('192.0.2.1'), 7), entry('10.5.2.0-24', 'rubbish "é" \u0000', 8, null)],
};

/** A file, and the memory that writes it; failures and recoveries are recorded. */
function memory(path = join(temporaryFolder(), 'state', 'network.json')) {
  const said: string[] = [];
  const memory = new NetworkMemory({
    path,
    onFailure: (text) => said.push(text),
    onSuccess: () => said.push('well again'),
  });
  return { path, memory, said };
}

async function written(network = NETWORK): Promise<string> {
  const { path, memory: one } = memory();
  one.save(() => network);
  await one.close();
  return path;
}

function rewrite(path: string, change: (document: Record<string, unknown>) => void): void {
  const document = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(document);
  writeFileSync(path, JSON.stringify(document));
}

describe('what is on disk', () => {
  test('is read as it was written', async () => {
    expect(readNetworkMemory(await written())).toMatchObject({ network: NETWORK });
  });

  test('two families', async () => {
    const dual = { ...NETWORK, subnets: ['10.5.1.0/24', 'fd00:0:0:1::/64'].map(Prefix.parse) };
    expect(readNetworkMemory(await written(dual)).network?.subnets).toEqual(dual.subnets);
  });

  test('only root may read it, whatever the umask; nothing else is left in the folder', async () => {
    const before = process.umask(0);
    try {
      const path = await written();
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(readdirSync(join(path, '..'))).toEqual(['network.json']);
    } finally {
      process.umask(before);
    }
  });

  test('there is none: nothing, and nothing to say', () => {
    expect(readNetworkMemory(join(temporaryFolder(), 'network.json'))).toEqual({});
  });

  test.each<[string, (path: string) => void]>([
    ['empty', (path) => writeFileSync(path, '')],
    ['cut off', (path) => writeFileSync(path, readFileSync(path, 'utf8').slice(0, -20))],
    ['no JSON', (path) => writeFileSync(path, 'rubbish')],
    ['null', (path) => writeFileSync(path, 'null')],
    ['of another version', (path) => rewrite(path, (document) => Object.assign(document, { version: 2 }))],
    ['without a subnet', (path) => rewrite(path, (document) => Object.assign(document, { subnets: [] }))],
    [
      'with a subnet that is none',
      (path) => rewrite(path, (d) => Object.assign(d, { subnets: ['10.5.1.0/33'] })),
    ],
    ['with a revision that is none', (path) => rewrite(path, (d) => Object.assign(d, { revision: '-1' }))],
    ['with a date that is none', (path) => rewrite(path, (d) => Object.assign(d, { savedAt: 'yesterday' }))],
    ['with entries that are none', (path) => rewrite(path, (d) => Object.assign(d, { entries: [['key']] }))],
    ['without its machine', (path) => rewrite(path, (d) => Object.assign(d, { nodeId: undefined }))],
  ])('%s: refused, with the file’s name', async (_what, spoil) => {
    const path = await written();
    spoil(path);
    const { network, problem } = readNetworkMemory(path);
    expect(network).toBeUndefined();
    expect(problem).toContain(path);
    expect(problem).toMatch(/cannot be understood and is not used: ./);
    expect(problem).not.toContain('\n');
  });

  test('a folder in its place: refused', () => {
    expect(readNetworkMemory(temporaryFolder())).toEqual({
      problem: expect.stringMatching(/cannot be read: /),
    });
  });

  test.each<[string, Partial<RememberedNetwork>, RegExp | undefined]>([
    ['its own', {}, undefined],
    ['of another machine', { nodeId: 'other' }, /another machine/],
    ['of a copy of this machine', { hardware: 'other' }, /another machine/],
    ['of another network', { prefix: '/other\n' }, /of another network, \/other/],
    ['very old', { savedAt: new Date(0) }, undefined],
    ['from the future, by a clock that was wrong', { savedAt: new Date('2100-01-01') }, undefined],
  ])('%s', (_what, over, says) => {
    const objection = objectionTo({ ...NETWORK, ...over }, NETWORK);
    if (says === undefined) expect(objection).toBeUndefined();
    else expect(objection).toMatch(says);
  });
});

describe('a write that fails', () => {
  test('leaves the old file whole, and no other behind; it is said once', async () => {
    const path = await written();
    const before = readFileSync(path);
    const { memory: one, said } = memory(path);
    one.save(() => {
      throw new Error('cannot be captured');
    });
    await one.close();
    expect(readFileSync(path)).toEqual(before);
    expect(readdirSync(join(path, '..'))).toEqual(['network.json']);
    expect(said).toEqual([
      expect.stringMatching(/network\.json cannot be written \(cannot be captured\).*etcd is away/),
    ]);
  });

  test('a folder stands in the way', async () => {
    const { path, memory: one, said } = memory();
    mkdirSync(path, { recursive: true });
    one.save(() => NETWORK);
    await one.close();
    expect(said).toHaveLength(1);
    expect(readdirSync(join(path, '..'))).toEqual(['network.json']);
  });
});

describe('over time', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  const realTimeout = setTimeout;
  const moment = () => new Promise((resolve) => realTimeout(resolve, 5));

  /** The timers of the code under test stand still; the file system does not. */
  async function waitFor(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 600 && !condition(); turn++) await moment();
    expect(condition()).toBe(true);
  }
  const fake = () => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const idle = async () => {
    for (let turn = 0; turn < 10; turn++) await moment();
  };

  test('the first is written at once, and of many after it the newest, after a pause', async () => {
    fake();
    const { path, memory: one } = memory();
    let captures = 0;
    const save = (revision: bigint) =>
      one.save(() => {
        captures++;
        return { ...NETWORK, revision };
      });
    save(1n);
    await waitFor(() => existsSync(path) && vi.getTimerCount() === 1);
    for (let revision = 2n; revision <= 100n; revision++) save(revision);
    await vi.advanceTimersByTimeAsync(150);
    await idle();
    expect([captures, readNetworkMemory(path).network?.revision]).toEqual([1, 1n]);
    // A small share of the time at the most: how long it took here, nobody knows.
    await vi.advanceTimersByTimeAsync(60_000);
    await waitFor(() => readNetworkMemory(path).network?.revision === 100n);
    expect(captures).toBe(2);
    await one.close();
  });

  test('a quiet network writes nothing more', async () => {
    fake();
    const { path, memory: one } = memory();
    one.save(() => NETWORK);
    await waitFor(() => existsSync(path) && vi.getTimerCount() === 1);
    rmSync(path);
    await vi.advanceTimersByTimeAsync(60_000);
    await idle();
    expect([existsSync(path), vi.getTimerCount()]).toEqual([false, 0]);
  });

  test('what failed is tried again, without being asked, and said when it is well', async () => {
    fake();
    const { path, memory: one, said } = memory();
    mkdirSync(path, { recursive: true });
    one.save(() => NETWORK);
    await waitFor(() => said.length === 1 && vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(5000);
    await waitFor(() => vi.getTimerCount() === 1);
    expect(said).toHaveLength(1);
    rmSync(path, { recursive: true });
    await vi.advanceTimersByTimeAsync(5000);
    await waitFor(() => said.length === 2);
    expect(said[1]).toBe('well again');
    expect(readNetworkMemory(path)).toMatchObject({ network: NETWORK });
    await one.close();
  });

  test('closing does not wait for the pause: the newest is on disk', async () => {
    fake();
    const { path, memory: one } = memory();
    one.save(() => NETWORK);
    await waitFor(() => existsSync(path) && vi.getTimerCount() === 1);
    one.save(() => ({ ...NETWORK, revision: 2n }));
    await one.close();
    expect(readNetworkMemory(path).network?.revision).toBe(2n);
  });

  test('closed while the first is being written: the newest is on disk, too', async () => {
    const { path, memory: one } = memory();
    one.save(() => NETWORK);
    one.save(() => ({ ...NETWORK, revision: 2n }));
    await one.close();
    expect(readNetworkMemory(path).network?.revision).toBe(2n);
  });
});
