import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const TARGETS = ['packet', 'fragment', 'segment', 'join', 'table', 'control', 'prefix-map'];
const SECONDS = 2;

/** The seeds of the fuzz targets, and what a few seconds find beyond them. `make fuzz` looks for longer. */
describe('the fuzz targets of the native data plane', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Empty, or why nothing can be fuzzed here. */
  function obstacle(): string {
    const source = join(folder, 'probe.c');
    writeFileSync(
      source,
      'int LLVMFuzzerTestOneInput(const char *b, unsigned long n) { return b && n > n; }\n',
    );
    const options = ['-fsanitize=fuzzer,address,undefined', '-o', join(folder, 'probe')];
    const compiled = spawnSync('clang', [...options, source], { encoding: 'utf8' });
    if (compiled.status === 0) return '';
    return `needs clang with libFuzzer (Debian: clang libclang-rt-14-dev): ${compiled.error?.message ?? compiled.stderr}`;
  }

  test('find nothing', { timeout: 240_000 }, (context) => {
    const reason = obstacle();
    if (reason !== '') return context.skip(reason);
    const env = { ...process.env, FUZZ_BUILD: join(folder, 'build') };
    const { status, stdout, stderr } = spawnSync('test/fuzz/run.sh', [`${SECONDS}`], {
      encoding: 'utf8',
      env,
    });
    expect(stderr).toBe('');
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toEqual(
      TARGETS.map((target) =>
        expect.stringMatching(new RegExp(`^fuzz-${target}: \\d{3,} executions .*, no finding$`)),
      ),
    );
    expect(status).toBe(0);
  });
});
