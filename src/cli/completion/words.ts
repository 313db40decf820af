import type { Command, Option } from 'commander';
import { FLAGS, type Flag } from '../../config/flags.ts';

/** The words that may follow one command, for the scripts of all shells. */
export interface CommandWords {
  /** As typed: `corduroy leases reserve`. */
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly OptionWords[];
  /** What its argument may be. Empty: not known, or it has none. */
  readonly operands: readonly string[];
}

export interface OptionWords {
  /** With its dashes, `--json` or `-f`. */
  readonly name: string;
  readonly summary: string;
  /** An optional value is given after `=` only. */
  readonly takes: 'nothing' | 'optional' | 'required';
  readonly values: Values;
}

/** What the value of an option may be. `free` is anything. */
export type Values = 'files' | 'folders' | 'free' | readonly string[];

/** A command and all below it, each with its own words. */
export function commandWords(command: Command, parent = ''): CommandWords[] {
  const help = command.createHelp();
  const path = parent === '' ? command.name() : `${parent} ${command.name()}`;
  const own: CommandWords = {
    path,
    subcommands: help
      .visibleCommands(command)
      .map((sub) => ({ name: sub.name(), summary: help.subcommandDescription(sub) })),
    options: help.visibleOptions(command).flatMap(optionWords),
    operands: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
  return [own, ...command.commands.flatMap((sub) => commandWords(sub, path))];
}

function optionWords(option: Option): OptionWords[] {
  const takes = option.required ? 'required' : option.optional ? 'optional' : 'nothing';
  const names = [option.short, option.long].filter((name) => name !== undefined);
  return names.map((name) => ({ name, summary: option.description, takes, values: valuesOf(option) }));
}

/** From the choices, else from the placeholder, such as `<FILE>` or `[true|false]`. */
function valuesOf(option: Option): Values {
  const name = option.name();
  const flag: Flag | undefined = Object.hasOwn(FLAGS, name) ? FLAGS[name as keyof typeof FLAGS] : undefined;
  const choices = option.argChoices ?? flag?.oneOf;
  if (choices !== undefined) return choices;
  const [, placeholder = ''] = /[<[](.+)[>\]]$/.exec(option.flags) ?? [];
  if (placeholder === 'FILE') return 'files';
  if (placeholder === 'DIR') return 'folders';
  return /^[a-z-]+(\|[a-z-]+)+$/.test(placeholder) ? placeholder.split('|') : 'free';
}
