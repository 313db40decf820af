import type { CommandWords, OptionWords } from './words.ts';

/** A script for fish 3, to be sourced or to be a file `corduroy.fish` in a folder of completions. */
export function fishCompletion(commands: readonly CommandWords[]): string {
  const programs = commands.map(({ path }) => path).filter((path) => !path.includes(' '));
  return `# Completion of ${programs.join(' and ')} for fish, made by: corduroy completion fish

set -g __corduroy_commands ${commands.map(({ path }) => quote(path)).join(' ')}

# Whether the command line has come as far as the command $argv, and no further.
function __corduroy_at
    set -l words (commandline -opc)
    set -l at (string replace -r '.*/' '' -- $words[1])
    set -e words[1]
    for word in $words
        test "$word" = --; and return 1
        contains -- "$at $word" $__corduroy_commands; and set at "$at $word"
    end
    test "$at" = "$argv"
end

${programs.map((program) => `complete -c ${program} -e\ncomplete -c ${program} -f`).join('\n')}
${commands.flatMap(rules).join('\n')}
`;
}

function rules({ path, subcommands, options, operands }: CommandWords): string[] {
  const [program] = path.split(' ');
  const start = `complete -c ${program} -n ${quote(`__corduroy_at ${path}`)}`;
  return [
    ...subcommands.map(({ name, summary }) => `${start} -a ${name} -d ${quote(summary)}`),
    ...operands.map((word) => `${start} -a ${quote(word)}`),
    ...options.map((option) => `${start} ${optionRule(option)} -d ${quote(option.summary)}`),
  ];
}

function optionRule({ name, takes, values }: OptionWords): string {
  const named = name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`;
  if (takes !== 'required') return named;
  if (values === 'files') return `${named} -r -F`;
  if (values === 'folders') return `${named} -x -a '(__fish_complete_directories)'`;
  return values === 'free' ? `${named} -x` : `${named} -x -a ${quote(values.join(' '))}`;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
