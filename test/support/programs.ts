import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll } from 'vitest';

/** What `make build` has made. */
export const BUILT = resolve('dist');
/** Another native data plane to run all tests with: the one with sanitizers, say (`make test-sanitized`). */
const OTHER_DATAPATH = process.env.CORDUROY_TEST_DATAPATH;

/** Why a test of what sanitizers change (memory in use, system calls) has no meaning here; `undefined`: it has. */
export const SANITIZED =
  OTHER_DATAPATH !== undefined && readFileSync(OTHER_DATAPATH).includes('__asan_init')
    ? 'the data plane runs with sanitizers, which need more memory and more system calls'
    : undefined;

/** The native data plane under test. */
export const DATAPATH = resolve(OTHER_DATAPATH ?? join(BUILT, 'corduroy-datapath'));

let programs: string | undefined;

/** The folder with the programs under test: that of the build, or a copy of it that has the other data plane. */
export function programsUnderTest(): string {
  programs ??= OTHER_DATAPATH === undefined ? BUILT : copyBuild({ datapath: DATAPATH });
  return programs;
}

export interface OtherBuild {
  /** As in package.json; the data plane says it too. */
  readonly version: string;
  /** Of the control protocol. Default: as it is. */
  readonly protocol?: number;
}

/** A build from the same sources that calls itself another version. @returns the folder of its programs */
export function otherBuild({ version, protocol }: OtherBuild): string {
  const folder = scratch();
  const sources = join(folder, 'native');
  cpSync('src/datapath/native', sources, { recursive: true });
  const header = join(sources, 'protocol.h');
  if (protocol !== undefined) replaceIn(header, /(PROTOCOL_VERSION = )\d+/, protocol);
  const datapath = join(folder, 'datapath');
  compile(sources, datapath, version);
  const copy = copyBuild({ datapath, version });
  if (protocol !== undefined)
    replaceIn(join(copy, 'datapath/protocol.js'), /(PROTOCOL_VERSION = )\d+/, protocol);
  return copy;
}

/** A copy of the build, with another data plane. The programs find package.json and their modules beside their folder. */
function copyBuild({ datapath, version }: { datapath: string; version?: string }): string {
  if (!existsSync(BUILT)) throw new Error(`needs ${BUILT}: make build`);
  const folder = scratch();
  const copy = join(folder, 'dist');
  cpSync(BUILT, copy, { recursive: true });
  copyFileSync(datapath, join(copy, 'corduroy-datapath'));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ ...manifest, version: version ?? manifest.version }),
  );
  return copy;
}

function compile(sources: string, program: string, version: string): void {
  const sanitizers =
    SANITIZED === undefined ? [] : ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const { status, stderr, error } = spawnSync(
    process.env.CC ?? 'cc',
    [
      ...['-std=c11', '-D_GNU_SOURCE', '-O1', '-g', '-pthread', ...sanitizers],
      ...[`-DCORDUROY_VERSION="${version}"`, '-o', program, ...files],
    ],
    { cwd: sources, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`the data plane cannot be compiled: ${error?.message ?? stderr}`);
}

function replaceIn(file: string, pattern: RegExp, value: number): void {
  const before = readFileSync(file, 'utf8');
  const after = before.replace(pattern, `$1${value}`);
  if (after === before) throw new Error(`${file} has no ${pattern}`);
  writeFileSync(file, after);
}

const folders = new Set<string>();
/** Of each test file that imports this. The end of the process is no time for it: a worker may be ended without one. */
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cdyt-build-'));
  folders.add(folder);
  return folder;
}

/** What sanitizers have found, as they wrote it into the log of a data plane. */
export function findingsIn(log: string): string | undefined {
  const start = log.search(
    /^.*(ERROR: (Address|Leak)Sanitizer|runtime error:|AddressSanitizer:DEADLYSIGNAL)/m,
  );
  return start < 0 ? undefined : log.slice(start, start + 4000);
}
