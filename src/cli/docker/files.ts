import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  type Configuration,
  type ConfigurationRecord,
  configurationDifference,
  type FileDifference,
  recordSchema,
} from '../../bridge/docker/configuration.ts';
import { DROP_IN } from '../../bridge/docker/drop-in.ts';
import { type DockerSettings, dockerSettingsIn } from '../../bridge/docker/settings.ts';
import { parseObject } from '../../config/edit-config-file.ts';
import type { Options } from '../../config/options.ts';
import { CorduroyError } from '../../errors.ts';
import { readIfThere, writeAtomically } from '../../host/atomic-file.ts';
import { run } from '../../host/exec.ts';
import { rewriteFile } from '../../host/rewrite-file.ts';
import { changeSettings } from '../change-settings.ts';

/** A change of the files that say how Docker gets the subnet. */
export interface Change {
  readonly now: Configuration;
  /** Without anything of Corduroy's. */
  readonly base: Configuration;
  readonly next: Configuration;
  /** `undefined` when nothing of Corduroy's is left. */
  readonly record: ConfigurationRecord | undefined;
}

/** The files of this host that say how Docker gets the subnet. */
export class DockerFiles {
  readonly options: Options;
  readonly paths: { readonly [F in keyof Configuration]: string };
  readonly #recordPath: string;
  readonly #backupPath: string;

  constructor(options: Options) {
    const { flags, names, stateDir } = options;
    this.options = options;
    this.paths = {
      dropIn: DROP_IN,
      daemonJson: flags['docker-config-file'],
      settings: flags['config-file'] ?? names.configFile,
    };
    this.#recordPath = join(stateDir, 'docker-configured.json');
    this.#backupPath = `${this.paths.daemonJson}.before-corduroy`;
  }

  read(): Configuration {
    return {
      dropIn: readIfThere(this.paths.dropIn),
      daemonJson: readIfThere(this.paths.daemonJson),
      // The daemon's settings have been read from it by now, so it is a JSON object.
      settings: parseObject(readIfThere(this.paths.settings), this.paths.settings),
    };
  }

  /** What `write` has kept of an earlier state. @throws CorduroyError `host-file` when it cannot be understood */
  record(): ConfigurationRecord | undefined {
    const text = readIfThere(this.#recordPath);
    if (text === undefined) return undefined;
    try {
      return recordSchema.parse(JSON.parse(text));
    } catch (error) {
      throw new CorduroyError(
        'host-file',
        `${this.#recordPath}, which says what was there before, cannot be understood: delete it, and take the rest ` +
          `back by hand (${this.paths.dropIn}, ${this.paths.daemonJson})`,
        { cause: error },
      );
    }
  }

  difference(now: Configuration, next: Configuration): FileDifference[] {
    return configurationDifference(now, next, this.paths);
  }

  /**
   * Writes what differs, and has systemd and a running daemon take it up.
   * @returns whether a daemon has
   */
  async write({ now, base, next, record }: Change): Promise<boolean> {
    const { dropIn, daemonJson, settings } = this.paths;
    const replaced = base.daemonJson === next.daemonJson ? undefined : base.daemonJson;
    if (replaced !== undefined && !existsSync(this.#backupPath))
      writeAtomically(this.#backupPath, replaced, statSync(daemonJson).mode & 0o777);
    const madeSettings = this.record()?.madeSettings ?? !existsSync(settings);
    if (record !== undefined)
      writeAtomically(this.#recordPath, `${JSON.stringify({ ...record, madeSettings })}\n`, 0o600);
    put(daemonJson, now.daemonJson, next.daemonJson);
    if (put(dropIn, now.dropIn, next.dropIn)) await run('systemctl', ['daemon-reload'], { timeout: 60_000 });
    const { reloaded } = await changeSettings(this.options, changesBetween(now.settings, next.settings));
    if (record === undefined) {
      if (madeSettings && Object.keys(next.settings).length === 0) rmSync(settings, { force: true });
      rmSync(this.#recordPath, { force: true });
      if (readIfThere(this.#backupPath) === next.daemonJson) rmSync(this.#backupPath, { force: true });
    }
    return reloaded;
  }

  /** What is kept although all is taken back, a phrase each. */
  leftovers({ record }: Change): string[] {
    if (record !== undefined || !existsSync(this.#backupPath)) return [];
    return [`${this.#backupPath}, since ${this.paths.daemonJson} has been changed meanwhile`];
  }
}

function put(path: string, now: string | undefined, next: string | undefined): boolean {
  if (now === next) return false;
  if (next === undefined) {
    rmSync(path, { force: true });
    // It may have been made for the file; an empty one means nothing to systemd and Docker.
    if (readdirSync(dirname(path)).length === 0) rmdirSync(dirname(path));
  } else rewriteFile(path, next);
  return true;
}

function changesBetween(now: Configuration['settings'], next: Configuration['settings']) {
  const keys = new Set([...Object.keys(now), ...Object.keys(next)]);
  return Object.fromEntries([...keys].filter((key) => now[key] !== next[key]).map((key) => [key, next[key]]));
}

/** What subnet.env says, if there is one. */
export function settingsNow({ subnetFile }: Options): DockerSettings | undefined {
  return dockerSettingsIn(readIfThere(subnetFile) ?? '');
}
