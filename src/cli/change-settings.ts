import { statSync } from 'node:fs';
import { join } from 'node:path';
import { editConfig } from '../config/edit-config-file.ts';
import type { FlagName } from '../config/flags.ts';
import { RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { daemonRequest } from '../daemon/control-client.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';

/** Milliseconds a daemon may take to settle under new settings. */
const RELOAD_TIMEOUT = 60_000;

export interface SettingsChange {
  /** The configuration file. */
  readonly file: string;
  /** Whether it was written: `false` when the settings were as wished. */
  readonly written: boolean;
  /** Whether a daemon runs, and has read its settings again. */
  readonly reloaded: boolean;
}

/**
 * Changes settings in the daemon's configuration file, leaves the others and the file's mode as they are, and has a
 * running daemon read them.
 *
 * @param changes by flag name; `undefined` removes a setting
 * @throws CorduroyError `usage` when the file holds no JSON object, `host-file` when it cannot be written,
 *   `daemon-refused` when it was written and the daemon does not take it up
 */
export async function changeSettings(
  options: Options,
  changes: Readonly<Partial<Record<FlagName, unknown>>>,
): Promise<SettingsChange> {
  const file = options.flags['config-file'] ?? options.names.configFile;
  const before = readIfThere(file);
  const after = editConfig(before, file, changes);
  // A file that only looks different by its spaces is left alone.
  const written = after !== editConfig(before, file, {});
  if (written) writeAtomically(file, after, before === undefined ? 0o644 : statSync(file).mode & 0o777);
  return { file, written, reloaded: await reload(options, file) };
}

async function reload({ runDir }: Options, file: string): Promise<boolean> {
  try {
    await daemonRequest(join(runDir, RUN_FILES.daemonSocket), 'POST', '/v1/reload', RELOAD_TIMEOUT);
    return true;
  } catch (error) {
    if (isCode(error, 'no-daemon')) return false;
    if (!isCode(error, 'daemon-refused')) throw error;
    const text = `${file} is written, and the running corduroyd does not take it up: ${error.message}`;
    throw new CorduroyError('daemon-refused', text, { cause: error });
  }
}
