import { Command } from 'commander';
import { describeNetwork, formatProblem } from '../../config/network-config.ts';
import { EXIT, print, printJson } from '../context.ts';
import { checkDocument, DOCUMENT, examineConfig, readDocument } from './document.ts';

export function checkCommand(): Command {
  return new Command('check')
    .argument('<document>', 'the network config')
    .description('check a network config without writing it')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `${DOCUMENT}
Exit code: 0 it is valid, 1 it is not.

Examples:
  corduroy config check @network.json
  corduroy config get | corduroy config check -
`,
    )
    .action((source: string, settings: { json?: true }) => {
      const text = readDocument(source);
      if (settings.json) {
        const { problems, unknownKeys } = examineConfig(text);
        printJson({
          schema: 1,
          valid: problems.length === 0,
          problems: problems.map(formatProblem),
          unknownKeys,
        });
        if (problems.length > 0) process.exitCode = EXIT.unhealthy;
      } else {
        print(`valid: ${describeNetwork(checkDocument(text))}`);
      }
    });
}
