import { type Command, InvalidArgumentError, Option } from 'commander';
import { FLAGS, type Flag, type FlagName } from './flags.ts';
import type { Given } from './options.ts';

/** Adds flags of the table to a command. Their values are collected as given; `givenFlags` hands them on. */
export function addFlags(command: Command, names: readonly FlagName[]): Command {
  for (const name of names) {
    const flag: Flag = FLAGS[name];
    const shown =
      flag.default === undefined || flag.default === '' ? '' : ` (default: ${formatDefault(flag)})`;
    const placeholder = flag.kind === 'boolean' ? '[true|false]' : `<${flag.value ?? 'VALUE'}>`;
    const dashes = name.length === 1 ? '-' : '--';
    const option = new Option(`${dashes}${name} ${placeholder}`, flag.help + shown);
    option.argParser((text: string, previous: string[] | undefined) => [...(previous ?? []), text]);
    command.addOption(option);
  }
  return command;
}

function formatDefault(flag: Flag): string {
  return Array.isArray(flag.default) ? flag.default.join(',') : String(flag.default);
}

export function givenFlags(command: Command): Given {
  const given: Partial<Record<FlagName, string[]>> = {};
  for (const option of command.options) {
    const name = option.name();
    const texts: unknown = command.getOptionValue(option.attributeName());
    if (name in FLAGS && Array.isArray(texts)) given[name as FlagName] = texts;
  }
  return given;
}

/**
 * Go's flag package, and so every flanneld unit file, also takes `-iface=eth1`, and a boolean's value only after `=`:
 * one dash becomes two, and a bare boolean flag becomes `--flag=true` (so that it cannot swallow the next word).
 */
export function fromGoStyle(argv: readonly string[]): string[] {
  const words: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? '';
    if (word === '--') return [...words, ...argv.slice(index)];
    const [, name = '', rest = ''] = /^--?([a-z][a-z0-9-]*)(=[\s\S]*)?$/.exec(word) ?? [];
    const takesNext =
      isFlag(name) && FLAGS[name].kind !== 'boolean' && rest === '' && index + 1 < argv.length;
    // The next word is the value, even one that looks like a flag.
    const value = takesNext ? `=${argv[++index]}` : rest;
    if (name === '' || /^v\d+$/.test(name)) words.push(word);
    else if (!isFlag(name)) words.push(`--${name}${rest}`);
    else if (FLAGS[name].kind === 'boolean') words.push(`--${name}${rest || '=true'}`);
    else if (name.length === 1) words.push(`-${name}`, value.slice(1));
    else words.push(`--${name}${value}`);
  }
  return words;
}

function isFlag(name: string): name is FlagName {
  return Object.hasOwn(FLAGS, name);
}

/** Complaints about the command line begin with the program's name, like all others. */
export function nameErrors(command: Command, program: string): Command {
  return command.configureOutput({
    outputError: (text, write) => write(text.replace(/^error:/, `${program}:`)),
  });
}

/** For options of a command's own: a whole number within bounds. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It is a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}
