import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { editConfig } from '../config/edit-config-file.ts';
import type { FlagName } from '../config/flags.ts';
import { RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { reloadDaemon } from '../daemon/control-client.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import { rewriteFile } from '../host/rewrite-file.ts';

export interface SettingsChange {
  /** The configuration file. */
  readonly file: string;
  /** Whether it was written: `false` when the settings were as wished. */
  readonly written: boolean;
  /** Whether a daemon runs, and has read its settings again. */
  readonly reloaded: boolean;
}

/**
 * Changes settings in the daemon's configuration file, leaves the others and all else of the file as they are, and has
 * a running daemon read them.
 *
 * @param changes by flag name; `undefined` removes a setting
 * @throws CorduroyError `usage` when the file holds no JSON object, `host-file` when it cannot be written,
 *   `daemon-refused` when the daemon does not take them up: the file is as it was then
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
  if (written) rewriteFile(file, after);
  try {
    await reloadDaemon(join(options.runDir, RUN_FILES.daemonSocket));
    return { file, written, reloaded: true };
  } catch (error) {
    if (isCode(error, 'no-daemon')) return { file, written, reloaded: false };
    if (!isCode(error, 'daemon-refused')) throw error;
    // Left there, it would be refused at the next start, too, and then the daemon would be gone.
    if (written && before === undefined) rmSync(file);
    else if (written) rewriteFile(file, before ?? '');
    const text = `the running corduroyd does not take this up, and ${file} is as it was: ${error.message}`;
    throw new CorduroyError('daemon-refused', text, { cause: error });
  }
}
