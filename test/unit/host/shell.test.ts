import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { isRunning } from '../../../src/host/is-running.ts';
import { runInShell } from '../../../src/host/shell.ts';
import { temporaryFolder } from '../daemon/temporary-folder.ts';

const PATH = process.env.PATH ?? '';
const run = (line: string, over: Partial<Parameters<typeof runInShell>[1]> = {}) =>
  runInShell(line, { environment: { PATH }, input: '', timeout: 5000, ...over });

describe('a line in a shell', () => {
  test('gets its input and its environment, and nothing else', async () => {
    process.env.CORDUROY_TEST_INHERITED = 'yes';
    const { stdout, failure } = await run('read data; echo "$data $OWN $CORDUROY_TEST_INHERITED-"', {
      environment: { PATH, OWN: '$(id)' },
      input: 'from `id`\n',
    });
    delete process.env.CORDUROY_TEST_INHERITED;
    expect(stdout).toBe('from `id` $(id) -\n');
    expect(failure).toBeUndefined();
  });

  test('is quoted with its exit code, and what it said', async () => {
    expect(await run('echo one; echo two >&2; exit 3')).toEqual({
      failure: 'exit code 3',
      stdout: 'one\n',
      stderr: 'two\n',
    });
    expect((await run('kill -TERM $$')).failure).toBe('it was ended by SIGTERM');
  });

  test('is killed with all it has started when its time is up', async () => {
    const folder = temporaryFolder();
    const { failure } = await run(`sleep 60 & echo $! >${folder}/pid; wait`, { timeout: 300 });
    expect(failure).toBe('it had no end after 0.3 s');
    const child = Number(readFileSync(join(folder, 'pid'), 'utf8'));
    await sleep(50);
    expect(isRunning(child)).toBe(false);
  });

  test('is killed when it is not wanted any more, or not begun', async () => {
    const ending = new AbortController();
    setTimeout(() => ending.abort(), 100);
    expect(await run('sleep 60', { signal: ending.signal })).toMatchObject({
      failure: 'it was ended along with the daemon',
    });
    const folder = temporaryFolder();
    await run(`touch ${folder}/ran`, { signal: ending.signal });
    expect(existsSync(join(folder, 'ran'))).toBe(false);
  });

  test('is not waited for by what it leaves in the background', async () => {
    const before = performance.now();
    const { stdout } = await run('sleep 3 & echo $!');
    expect(performance.now() - before).toBeLessThan(1500);
    const pid = Number(stdout);
    expect(isRunning(pid)).toBe(true);
    process.kill(pid);
  });

  test('is not kept whole when it does not stop to speak', async () => {
    const { stdout } = await run('head -c 1000000 /dev/zero | tr "\\0" x');
    expect(stdout).toHaveLength(65_536);
  });
});
