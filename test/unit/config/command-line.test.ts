import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { addFlags, nameErrors, wholeNumber } from '../../../src/config/command-line.ts';
import { FLAGS, type FlagName, type FlagValues } from '../../../src/config/flags.ts';
import { resolve } from './resolve.ts';

describe('the command line, as Go takes it', () => {
  test.each<[string, Partial<FlagValues>]>([
    ['-iface=eth1', { iface: ['eth1'] }],
    ['-iface eth1', { iface: ['eth1'] }],
    ['--iface eth1 -iface=eth2', { iface: ['eth1', 'eth2'] }],
    ['--ip-masq', { 'ip-masq': true }],
    ['-ip-masq', { 'ip-masq': true }],
    ['--ip-masq=false', { 'ip-masq': false }],
    ['-ip-masq=0', { 'ip-masq': false }],
    ['-ip-masq -iface=eth1', { 'ip-masq': true, iface: ['eth1'] }],
    ['-iptables-forward-rules=false', { 'iptables-forward-rules': false }],
    ['-v=10', { v: 10 }],
    ['-v 10', { v: 10 }],
    ['--v=10', { v: 10 }],
    ['-v10', { v: 10 }],
    ['--etcd-username=u --etcd-password=-a=b', { 'etcd-password': '-a=b' }],
    ['--etcd-username=u --etcd-password -secret', { 'etcd-password': '-secret' }],
    ['--etcd-username=u --etcd-password -ip-masq', { 'etcd-password': '-ip-masq', 'ip-masq': false }],
  ])('%s', (line, expected) => {
    expect(resolve(line.split(' ')).flags).toMatchObject(expected);
  });

  test.each([
    ['a word after a boolean flag', ['--ip-masq', 'true']],
    ['a flag that is none', ['-kube-subnet-mgr']],
    ['a flag without its value', ['--iface']],
    ['a word after --', ['--', '-iface=eth1']],
  ])('%s is refused', (_what, argv) => {
    expect(() => resolve(argv)).toThrow(expect.objectContaining({ name: 'CommanderError' }));
  });
});

test('--help names every flag with its default, and the password none', () => {
  const command = addFlags(new Command(), Object.keys(FLAGS) as FlagName[]);
  const help = command.configureHelp({ helpWidth: 1000 }).helpInformation();
  for (const name of Object.keys(FLAGS)) expect(help).toMatch(new RegExp(`^  --?${name} `, 'm'));
  expect(help).toMatch(/--etcd-prefix <KEY> .*\(default: \/coreos\.com\/network\)/);
  expect(help).toMatch(/--etcd-endpoints <URLS> .*\(default: http:\/\/127\.0\.0\.1:4001,http:\/\/127/);
  expect(help).toMatch(/--ip-masq \[true\|false\] .*\(default: false\)/);
});

test('complaints begin with the name of the program', () => {
  const command = nameErrors(new Command('x').exitOverride(), 'corduroyd');
  let said = '';
  command.configureOutput({ writeErr: (text) => (said += text) });
  expect(() => command.parse(['--nonsense'], { from: 'user' })).toThrow();
  expect(said).toMatch(/^corduroyd: unknown option/);
});

describe('wholeNumber', () => {
  test.each(['1', '10'])('%s', (text) => expect(wholeNumber(1, 10)(text)).toBe(Number(text)));
  test.each(['0', '11', '', '1.5', '-1', '1e0', ' 1'])('"%s" is none from 1 to 10', (text) => {
    expect(() => wholeNumber(1, 10)(text)).toThrow(/whole number from 1 to 10/);
  });
});
