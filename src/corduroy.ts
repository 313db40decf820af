#!/usr/bin/env node
import { CommanderError } from 'commander';
import { EXIT } from './cli/context.ts';
import { corduroyProgram, withSubcommands } from './cli/program.ts';
import { nameErrors } from './config/command-line.ts';
import { CorduroyError, type ErrorCode, messageOf } from './errors.ts';

const program = corduroyProgram();
for (const command of withSubcommands(program)) nameErrors(command, 'corduroy').exitOverride();

const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  'no-daemon': EXIT.noDaemon,
  timeout: EXIT.timeout,
};

program.parseAsync().then(
  () => exit(),
  (error: unknown) => {
    if (error instanceof CommanderError) return exit(error.exitCode === 0 ? 0 : EXIT.usage);
    process.stderr.write(`corduroy: ${messageOf(error)}\n`);
    exit((error instanceof CorduroyError && EXIT_CODES[error.code]) || EXIT.unhealthy);
  },
);

/** A pipe holds 64 KiB until somebody reads: process.exit would throw away what is behind that. */
function exit(code = process.exitCode): void {
  process.stdout.write('', () => process.exit(code));
}
