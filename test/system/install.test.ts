import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VERSION } from '../../src/version.ts';

const PREFIX = '/opt/corduroy';

describe('make install', () => {
  const destination = mkdtempSync(join(tmpdir(), 'cdyt-'));
  const installed = (path: string) => join(destination, PREFIX, path);
  const foreign = installed('bin/foreign');
  beforeAll(() => {
    mkdirSync(installed('bin'), { recursive: true });
    writeFileSync(foreign, '');
    make('install');
  });
  afterAll(() => rmSync(destination, { recursive: true, force: true }));

  function make(what: 'install' | 'uninstall'): void {
    const env = { ...process.env, PREFIX, DESTDIR: destination };
    execFileSync('src/packaging/install.sh', [what], { env, stdio: 'pipe' });
  }
  /** All of them, with whole paths. */
  const files = () =>
    readdirSync(destination, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();

  test('what is installed runs without the folder it was built in', () => {
    const run = (name: string, ...args: string[]) =>
      execFileSync(installed(`bin/${name}`), args, { cwd: '/', encoding: 'utf8' });
    expect(run('corduroy', '--version').trim()).toBe(VERSION);
    expect(run('corduroyd', '--help')).toContain('--etcd-endpoints');
    expect(run('corduroy', 'config', 'check', '{"Network": "10.5.0.0/16"}')).toContain('10.5.0.0/16');

    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object };
    const imports = Object.keys(dependencies).map((name) => `await import('${name}');`);
    execFileSync(process.execPath, ['--input-type=module', '-e', imports.join('\n')], {
      cwd: installed('lib/corduroy'),
    });
  });

  test('a path that is not from the root is refused', () => {
    const env = { ...process.env, PREFIX: 'opt', DESTDIR: destination };
    expect(() => execFileSync('src/packaging/install.sh', ['install'], { env, stdio: 'pipe' })).toThrow(
      /opt is no path from the root/,
    );
  });

  test('no file names the folder it was built in, or has a gap to be filled in', () => {
    for (const file of files().filter((name) => !name.includes('/node_modules/'))) {
      const text = readFileSync(file, 'latin1');
      expect(text.includes(resolve('.')), file).toBe(false);
      if (file.includes('/systemd/')) expect(text, file).not.toMatch(/@[A-Z]+@/);
    }
  });

  test('the examples come along, and can be run', () => {
    const example = installed('share/doc/corduroy/examples/netns/netns.sh');
    expect(statSync(example).mode & 0o111).toBe(0o111);
    expect(existsSync(join(example, '../../vagrant/Vagrantfile'))).toBe(true);
  });

  test('units start what was installed', () => {
    const unit = readFileSync(installed('lib/systemd/system/corduroyd.service'), 'utf8');
    const [, program = ''] = /^ExecStart=(\S+)/m.exec(unit) ?? [];
    expect(program.startsWith(`${PREFIX}/`)).toBe(true);
    expect(existsSync(join(destination, program))).toBe(true);
  });

  test('a newer version leaves nothing of the older one, and uninstall nothing at all', () => {
    const whole = files();
    const outdated = installed('lib/corduroy/dist/outdated/part.js');
    mkdirSync(join(outdated, '..'));
    writeFileSync(outdated, '');
    const manifest = installed('lib/corduroy/installed-files');
    const lines = [...readFileSync(manifest, 'utf8').trim().split('\n'), outdated.slice(destination.length)];
    writeFileSync(manifest, `${lines.sort().join('\n')}\n`);

    make('install');
    expect(files()).toEqual(whole);
    expect(existsSync(join(outdated, '..'))).toBe(false);

    make('uninstall');
    expect(files()).toEqual([foreign]);
    expect(existsSync(installed('lib/corduroy'))).toBe(false);
  });
});
