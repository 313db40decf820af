import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { corduroyProgram, withSubcommands } from '../../../src/cli/program.ts';

const all = withSubcommands(corduroyProgram());

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

test.each(all.map((command) => [`${command.parent?.name() ?? ''} ${command.name()}`, command] as const))(
  '%s --help has an example',
  (_name, command) => {
    expect(helpOf(command)).toMatch(/Examples?:\n {2}corduroy /);
  },
);
