import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const NATIVE = 'src/datapath/native';
const TESTS = 'test/native';
/** What the tests are of; the forwarding side has a stand-in. */
const TESTED = [
  'address',
  'bytes',
  'clock',
  'connection',
  'messages',
  'prefix-map',
  'requests',
  'table',
  'unprivileged',
].map((name) => join(NATIVE, `${name}.c`));
const FLAGS = [
  ...['-std=c11', '-D_GNU_SOURCE', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-Wconversion', '-pthread'],
  ...[`-I${NATIVE}`, `-I${TESTS}`],
];
const SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/** The control side of the native data plane: its unit tests are in C, and run under AddressSanitizer and UBSan. */
describe('the native data plane, in C', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Empty, or why the sanitizers cannot be used here. */
  function obstacle(): string {
    const source = join(folder, 'probe.c');
    writeFileSync(source, 'int main(void) { return 0; }\n');
    const compiled = spawnSync('cc', [...SANITIZERS, '-o', join(folder, 'probe'), source], {
      encoding: 'utf8',
    });
    if (compiled.status === 0) return '';
    return `needs cc with -fsanitize=address,undefined: ${compiled.error?.message ?? compiled.stderr}`;
  }

  /** Compiles C and runs it. */
  function run(name: string, sources: readonly string[], options: readonly string[]) {
    const program = join(folder, name);
    execFileSync('cc', [...FLAGS, ...options, '-o', program, ...sources]);
    const { status, stdout, stderr } = spawnSync(program, { encoding: 'utf8' });
    return { status, stdout, stderr };
  }

  test('holds every check', { timeout: 60_000 }, (context) => {
    const reason = obstacle();
    if (reason !== '') return context.skip(reason);
    const sources = readdirSync(TESTS)
      .filter((name) => name.endsWith('.c'))
      .map((name) => join(TESTS, name));
    const { status, stdout, stderr } = run('native-tests', [...sources, ...TESTED], SANITIZERS);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d{5,} checks$/m);
  });

  test('its system call filter lets through what it needs, and ends it at anything else', (context) => {
    if (spawnSync('cc', ['--version']).status !== 0) return context.skip('needs cc');
    const sources = [join(TESTS, 'seccomp/main.c'), join(NATIVE, 'seccomp.c')];
    const { status, stdout, stderr } = run('seccomp-tests', sources, []);
    if (stdout.startsWith('unavailable')) return context.skip(stdout.trim());
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toBe('16 checks\n');
  });
});
