#!/usr/bin/env -S node --max-semi-space-size=4
import './daemon/hangups.ts';

import { CommanderError } from 'commander';
import { corduroydCommand } from './cli/corduroyd-command.ts';
import { fromGoStyle, givenFlags } from './config/command-line.ts';
import { hideSecrets } from './config/hide-secrets.ts';
import { type Given, resolveOptions } from './config/options.ts';
import { Service } from './daemon/service.ts';
import { CorduroyError, messageOf } from './errors.ts';
import { notifyFailure } from './observe/systemd.ts';

function parseCommandLine(argv: readonly string[]): Given {
  const command = corduroydCommand();
  command.parse(fromGoStyle(argv), { from: 'user' });
  const given = givenFlags(command);
  hideSecrets(given);
  return given;
}

async function main(): Promise<void> {
  const given = parseCommandLine(process.argv.slice(2));
  // What was given stays; the environment cannot change; the file may, and is read again at a reload.
  const readOptions = () => resolveOptions(given, process.env);
  const options = readOptions();
  if (process.getuid?.() !== 0)
    throw new CorduroyError('usage', 'corduroyd has to be started by root: it sets up devices and routes');
  await new Service(options, readOptions).run();
}

async function fail(error: unknown): Promise<never> {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exit(0);
    // Commander has said it already, elsewhere than in `systemctl status`.
    await notifyFailure(error.message.replace(/^error: /, ''));
    process.exit(2);
  }
  process.stderr.write(`corduroyd: ${messageOf(error)}\n`);
  await notifyFailure(messageOf(error));
  process.exit(error instanceof CorduroyError && error.code === 'usage' ? 2 : 1);
}

// Whatever might still hold the process open has no more business here.
main().then(() => process.exit(0), fail);
