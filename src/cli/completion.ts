import { Argument, Command } from 'commander';
import { bashCompletion } from './completion/bash.ts';
import { fishCompletion } from './completion/fish.ts';
import { commandWords } from './completion/words.ts';
import { zshCompletion } from './completion/zsh.ts';
import { print } from './context.ts';
import { corduroydCommand } from './corduroyd-command.ts';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

/** @param program the whole tree, read when the command runs */
export function completionCommand(program: Command): Command {
  return new Command('completion')
    .addArgument(new Argument('<shell>', 'the shell it is for').choices(Object.keys(SHELLS)))
    .description('print the script by which a shell completes the words of corduroy and corduroyd')
    .addHelpText(
      'after',
      `
The packages install it: this is for a shell that does not find it there.

Examples:
  corduroy completion bash >/etc/bash_completion.d/corduroy
  source <(corduroy completion zsh)
  corduroy completion fish | source
`,
    )
    .action((shell: keyof typeof SHELLS) => {
      print(SHELLS[shell]([...commandWords(program), ...commandWords(corduroydCommand())]));
    });
}
