import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bashCompletion } from '../../../src/cli/completion/bash.ts';
import { fishCompletion } from '../../../src/cli/completion/fish.ts';
import { commandWords } from '../../../src/cli/completion/words.ts';
import { zshCompletion } from '../../../src/cli/completion/zsh.ts';
import { corduroydCommand } from '../../../src/cli/corduroyd-command.ts';
import { corduroyProgram } from '../../../src/cli/program.ts';
import { FLAGS } from '../../../src/config/flags.ts';

const words = [...commandWords(corduroyProgram()), ...commandWords(corduroydCommand())];
const folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
const scripts = join(folder, 'scripts');
for (const name of ['scripts', 'a folder']) mkdirSync(join(folder, name));
writeFileSync(join(folder, 'a file.pem'), '');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a shell offers after a line that somebody has typed, in alphabetical order. */
type Complete = (line: string) => string[];

const SHELLS: Readonly<Record<string, { script: string; complete: Complete }>> = {
  bash: { script: bashCompletion(words), complete: inBash },
  zsh: { script: zshCompletion(words), complete: inZsh },
  fish: { script: fishCompletion(words), complete: inFish },
};

for (const [shell, { script, complete }] of Object.entries(SHELLS)) {
  const missing = spawnSync(shell, ['-c', 'true']).error !== undefined;
  describe.skipIf(missing)(`completion in ${shell}${missing ? `: needs ${shell}` : ''}`, () => {
    writeFileSync(join(scripts, shell), script);

    test.each<[line: string, offered: string[]]>([
      ['corduroy sta', ['status']],
      ['corduroy leases re', ['release', 'reserve', 'revoke']],
      ['corduroy leases reserve --ho', ['--host']],
      ['corduroy --vers', ['--version']],
      ['corduroy completion ', ['bash', 'fish', 'zsh']],
      ['corduroyd --log-level ', ['debug', 'error', 'info', 'warn']],
      ['corduroyd --etcd-prefix /x --log-level=w', ['warn']],
      ['corduroyd --ip-masq --docker-n', ['--docker-network']],
      ['corduroyd --etcd-cafile a', ['a file.pem', 'a folder']],
      ['corduroyd --etcd-cafile=a', ['a file.pem', 'a folder']],
      ['corduroyd --run-dir a', ['a folder']],
      ['corduroyd --node-name ', []],
      ['corduroy lab exec h1 -- corduroy sta', []],
      ['/usr/bin/corduroy config ch', ['check']],
    ])('%s', (line, offered) => {
      expect(complete(line)).toEqual(offered);
    });
  });
}

test('every flag of the daemon is offered', () => {
  const flags = Object.keys(FLAGS).map((name) => (name.length === 1 ? `-${name}` : `--${name}`));
  expect(inBash('corduroyd -')).toEqual(['--help', '--version', '-h', ...flags].sort());
});

test('every command is offered, and each of its options', () => {
  for (const { path, subcommands, options } of words) {
    expect(inBash(`${path} -`)).toEqual(options.map(({ name }) => name).sort());
    if (subcommands.length > 0)
      expect(inBash(`${path} `)).toEqual(subcommands.map(({ name }) => name).sort());
  }
});

/** As readline calls the function: to it, "=" is a word. */
function inBash(line: string): string[] {
  const typed = line
    .split(/ |(=)/)
    .filter((word, index, all) => word !== undefined && (word !== '' || index === all.length - 1));
  const script = `
source '${join(scripts, 'bash')}'
compopt() { :; }
COMP_WORDS=(${typed.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${typed.length - 1}
_corduroy
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return lines(execFileSync('bash', ['--norc', '-c', script], { cwd: folder, encoding: 'utf8' }));
}

/** With the functions of zsh's completion system, which add what they are given, replaced by some that print it. */
function inZsh(line: string): string[] {
  const typed = line.split(' ');
  const script = `
compdef() { :; }
offer() { local each; for each; do [[ $each == $PREFIX* ]] && print -r -- $each; done; true }
compset() { PREFIX=\${PREFIX#*=} }
compadd() { shift; offer "$@" }
_message() { :; }
_files() { if [[ $1 == -/ ]]; then offer *(/N); else offer *(N); fi }
_describe() { [[ $1 == -o ]] && shift; local each; for each in \${(P)2}; do offer \${each%%:*}; done }
source '${join(scripts, 'zsh')}'
words=(${typed.map((word) => `'${word}'`).join(' ')}) CURRENT=${typed.length} PREFIX='${typed.at(-1)}'
_corduroy`;
  return lines(spawnSync('zsh', ['-f', '-c', script], { cwd: folder, encoding: 'utf8' }).stdout);
}

function inFish(line: string): string[] {
  const script = `source '${join(scripts, 'fish')}'; complete -C '${line}' | string replace -r '\\t.*' ''; true`;
  const home = { ...process.env, HOME: folder, XDG_CONFIG_HOME: join(folder, '.config') };
  const offered = execFileSync('fish', ['--no-config', '-c', script], {
    cwd: folder,
    encoding: 'utf8',
    env: home,
  });
  // fish gives the option along with its value, and quotes what it offers.
  return lines(offered).map((word) =>
    word
      .replace(/^--[a-z-]+=/, '')
      .replaceAll('\\', '')
      .replace(/\/$/, ''),
  );
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}
