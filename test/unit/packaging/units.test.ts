import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { namesFor } from '../../../src/config/names.ts';
import { temporaryFolder } from '../daemon/temporary-folder.ts';

const SOURCES = 'src/packaging/systemd';
const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;
const WITHOUT = hasAnalyze ? '' : '(needs systemd-analyze)';

const textOf = (unit: string) => readFileSync(join(SOURCES, `${unit}.in`), 'utf8');
const directives = (text: string) => text.split('\n').filter((line) => /^[A-Z][A-Za-z]*=|^\[/.test(line));

/** The units as they are installed, with programs that are there. */
function installed(): string {
  const folder = temporaryFolder();
  const programs = join(folder, 'lib/dist');
  mkdirSync(programs, { recursive: true });
  for (const name of ['corduroy', 'corduroyd', 'dist/corduroy-datapath'])
    symlinkSync('/bin/true', join(folder, 'lib', name));
  for (const source of readdirSync(SOURCES).filter((name) => /^corduroyd|datapath|online/.test(name))) {
    const text = readFileSync(join(SOURCES, source), 'utf8').replace(/@(LIB|BIN)DIR@/g, join(folder, 'lib'));
    writeFileSync(join(folder, source.replace(/\.in$/, '')), text);
  }
  return folder;
}

describe('the units', () => {
  /** What an instance's unit has in place of the names of the one without. */
  const forInstance = (line: string) => {
    const { runDir, stateDir, configFile } = namesFor('');
    const own = namesFor('I');
    return line
      .replace(configFile, own.configFile)
      .replace(`${runDir}/`, `${own.runDir}/`)
      .replace(/^(RuntimeDirectory=)corduroy/, `$1${own.runDir.slice('/run/'.length)}`)
      .replace(
        `StateDirectory=${stateDir.slice('/var/lib/'.length)}`,
        `StateDirectory=${own.stateDir.slice('/var/lib/'.length)}`,
      )
      .replace('corduroy-datapath.service', 'corduroy-datapath@I.service')
      .replace('Before=corduroyd.', 'Before=corduroyd@I.')
      .replace('/corduroyd --datapath', '/corduroyd --instance=I --datapath')
      .replace('corduroy reload', 'corduroy reload --instance=I')
      .replace('/etc/default/corduroyd', '/etc/default/corduroyd-I')
      .replace(/^Description=.*/, '$&, instance I');
  };

  test.each(['corduroyd', 'corduroy-datapath'])('%s and its template differ by names alone', (unit) => {
    const template = directives(textOf(`${unit}@.service`)).map((line) => line.replaceAll('%i', 'I'));
    expect(template).toEqual(directives(textOf(`${unit}.service`)).map(forInstance));
  });

  test('no service is taken down along with the daemon', () => {
    for (const source of readdirSync(SOURCES).filter((name) => name.includes('.service')))
      expect(textOf(source.replace(/\.in$/, '')), source).not.toMatch(/^(Requires|BindsTo|PartOf)=/m);
  });

  test.skipIf(!hasAnalyze)(`systemd has nothing to say against them ${WITHOUT}`, () => {
    const folder = installed();
    const units = [
      'corduroyd.service',
      'corduroyd@lab.service',
      'corduroy-datapath.service',
      'corduroy-online.target',
    ];
    const { stderr } = spawnSync(
      'systemd-analyze',
      ['verify', '--man=no', ...units.map((unit) => join(folder, unit))],
      { encoding: 'utf8', env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:` } },
    );
    // It ends with 0 even when it complains. What other units of this machine are told is theirs.
    expect(stderr.split('\n').filter((line) => line.includes('corduroy'))).toEqual([]);
  });

  test.skipIf(!hasAnalyze).each([
    ['corduroy-datapath.service', 20],
    ['corduroy-datapath@lab.service', 20],
    ['corduroyd.service', 30],
    ['corduroyd@lab.service', 30],
  ])(`%s is confined: exposure at most %i tenths ${WITHOUT}`, (unit, threshold) => {
    const file = join(installed(), unit.replace(/@lab/, '@'));
    const words = ['security', '--offline=true', '--no-pager', `--threshold=${threshold}`, file];
    expect(() => execFileSync('systemd-analyze', words, { stdio: 'pipe' })).not.toThrow();
  });
});
