import type { CommandWords, OptionWords } from './words.ts';

/** A script for zsh, to be sourced or to be a file `_corduroy` in a folder of $fpath. */
export function zshCompletion(commands: readonly CommandWords[]): string {
  const programs = commands.map(({ path }) => path).filter((path) => !path.includes(' '));
  return `#compdef ${programs.join(' ')}
# Completion for zsh, made by: corduroy completion zsh

# Sets what may follow the command $1.
_corduroy_words() {
  subcommands=() flags=() operands=()
  case $1 in
${commands.map(wordsCase).join('\n')}
  esac
}

# Sets what the value of the option $2 of the command $1 may be, and whether it can be left out.
_corduroy_values() {
  values= optional=
  case "$1 $2" in
${commands.flatMap(valueCases).join('\n')}
  esac
}

_corduroy() {
  local at=\${words[1]:t} values= optional=
  local -a subcommands flags operands
  integer index
  _corduroy_words $at
  for ((index = 2; index < CURRENT; index++)); do
    [[ $words[index] == -- ]] && return 1
    ((\${subcommands[(I)\${(b)words[index]}:*]})) || continue
    at+=" $words[index]"
    _corduroy_words $at
  done

  if [[ $PREFIX == -*=* ]]; then
    _corduroy_values $at \${PREFIX%%=*}
    compset -P '*='
  else
    _corduroy_values $at $words[CURRENT-1]
    [[ -z $optional ]] || values=
  fi

  case $values in
    @free) _message 'a value' ;;
    @files) _files ;;
    @folders) _files -/ ;;
    ?*) compadd -- \${=values} ;;
    *)
      if [[ $PREFIX == -* ]] || ((\${#subcommands} + \${#operands} == 0)); then
        _describe -o option flags
      else
        ((\${#operands})) && compadd -- $operands
        _describe command subcommands
      fi
      ;;
  esac
}

if [[ $funcstack[1] == _corduroy ]]; then _corduroy "$@"; else compdef _corduroy ${programs.join(' ')}; fi
`;
}

function wordsCase({ path, subcommands, options, operands }: CommandWords): string {
  const described = (items: readonly { name: string; summary: string }[]) =>
    items.map(({ name, summary }) => quote(`${name}:${summary}`)).join(' ');
  return `    ${quote(path)})
      subcommands=(${described(subcommands)})
      flags=(${described(options)})
      operands=(${operands.map(quote).join(' ')})
      ;;`;
}

function valueCases({ path, options }: CommandWords): string[] {
  return options
    .filter(({ takes }) => takes !== 'nothing')
    .map((option) => `    ${quote(`${path} ${option.name}`)}) ${assignmentOf(option)} ;;`);
}

function assignmentOf({ takes, values }: OptionWords): string {
  const text = typeof values === 'string' ? `@${values}` : values.join(' ');
  return `values=${quote(text)}${takes === 'optional' ? ' optional=1' : ''}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
