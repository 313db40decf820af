import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { expect, onTestFinished } from 'vitest';
import { addFlags, fromGoStyle, givenFlags } from '../../../src/config/command-line.ts';
import { FLAGS, type FlagName } from '../../../src/config/flags.ts';
import { type Options, resolveOptions } from '../../../src/config/options.ts';

/** A file that is gone after the test. */
export function temporaryFile(text: string, mode = 0o600): string {
  const folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'file.json');
  writeFileSync(path, text, { mode });
  return path;
}

/** Resolves options as corduroyd does. The configuration file is always the test's own, never the host's. */
export function resolve(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  file: object | string = {},
): Options {
  const path = temporaryFile(typeof file === 'string' ? file : JSON.stringify(file));
  const command = new Command('corduroyd').allowExcessArguments(false).exitOverride();
  command.configureOutput({ writeErr: () => undefined });
  addFlags(command, Object.keys(FLAGS) as FlagName[]);
  command.parse(fromGoStyle(argv), { from: 'user' });
  return resolveOptions(givenFlags(command), { CORDUROYD_CONFIG_FILE: path, ...environment });
}

export function usage(message: RegExp): unknown {
  return expect.objectContaining({ code: 'usage', message: expect.stringMatching(message) });
}
