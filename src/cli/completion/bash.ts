import type { CommandWords, OptionWords } from './words.ts';

/**
 * A script for bash 4.4 or newer; it needs nothing of the package bash-completion. All is in the script: no program is
 * started when somebody presses TAB.
 */
export function bashCompletion(commands: readonly CommandWords[]): string {
  const programs = commands.map(({ path }) => path).filter((path) => !path.includes(' '));
  return `# Completion of ${programs.join(' and ')} for bash, made by: corduroy completion bash

# Sets what may follow the command $1.
_corduroy_words() {
  subcommands= options= operands=
  case $1 in
${commands.map(wordsCase).join('\n')}
  esac
}

# Sets what the value of the option $2 of the command $1 may be, and whether it can be left out.
_corduroy_values() {
  values= optional=
  case "$1 $2" in
${valueCases(commands).join('\n')}
  esac
}

_corduroy() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} at=\${COMP_WORDS[0]##*/}
  local subcommands options operands values= optional= index
  _corduroy_words "$at"
  for ((index = 1; index < COMP_CWORD; index++)); do
    [[ \${COMP_WORDS[index]} == -- ]] && return
    [[ " $subcommands " == *" \${COMP_WORDS[index]} "* ]] || continue
    at+=" \${COMP_WORDS[index]}"
    _corduroy_words "$at"
  done

  # To readline "=" is a word of its own.
  if [[ $current == = ]]; then
    current=
    _corduroy_values "$at" "$before"
  elif [[ $before == = ]]; then
    _corduroy_values "$at" "\${COMP_WORDS[COMP_CWORD - 2]}"
  else
    _corduroy_values "$at" "$before"
    [[ -z $optional ]] || values=
  fi
  if [[ -z $values ]]; then
    if [[ $current == -* || -z $subcommands$operands ]]; then values=$options; else values="$subcommands $operands"; fi
  fi

  COMPREPLY=()
  case $values in
    @free) ;;
    @files) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    @folders) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current") ;;
  esac
}

complete -F _corduroy ${programs.join(' ')}
`;
}

function wordsCase({ path, subcommands, options, operands }: CommandWords): string {
  const lists = {
    subcommands: subcommands.map(({ name }) => name),
    options: options.map(({ name }) => name),
    operands,
  };
  const set = Object.entries(lists)
    .filter(([, words]) => words.length > 0)
    .map(([name, words]) => `${name}='${words.join(' ')}'`);
  return `    '${path}') ${set.join(' ')} ;;`;
}

/** Options with the same values stand together. */
function valueCases(commands: readonly CommandWords[]): string[] {
  const patterns = new Map<string, string[]>();
  for (const { path, options } of commands) {
    for (const option of options.filter(({ takes }) => takes !== 'nothing')) {
      const assignment = assignmentOf(option);
      patterns.set(assignment, [...(patterns.get(assignment) ?? []), `'${path} ${option.name}'`]);
    }
  }
  return [...patterns].map(([assignment, names]) => `    ${names.join(' | ')}) ${assignment} ;;`);
}

function assignmentOf({ takes, values }: OptionWords): string {
  const text = typeof values === 'string' ? `@${values}` : values.join(' ');
  return `values='${text}'${takes === 'optional' ? ' optional=1' : ''}`;
}
