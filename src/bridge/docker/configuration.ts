import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { parseObject } from '../../config/edit-config-file.ts';
import { LEASE_KEYS, mergeDaemonJson } from './daemon-json.ts';
import { isOwnDropIn } from './drop-in.ts';

/** The files that say how Docker gets the subnet. */
export interface Configuration {
  /** Text of the drop-in of docker.service; `undefined`: there is none, as below. */
  readonly dropIn: string | undefined;
  /** Text of dockerd's configuration file. */
  readonly daemonJson: string | undefined;
  /** What corduroyd's configuration file sets. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What is to be brought into them. */
export interface ConfigurationWish {
  readonly dropIn?: string;
  readonly daemonJson?: Readonly<Record<string, unknown>>;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A value that was there before; absent: there was none. */
const before = z.object({ before: z.unknown().optional() });

/** What was there before, so that it can be put back: kept in the state-dir. */
export const recordSchema = z.object({
  version: z.literal(1),
  dropIn: z.object({ before: z.string().optional() }).optional(),
  daemonJson: z
    .object({ path: z.string(), existed: z.boolean(), keys: z.record(z.string(), before) })
    .optional(),
  settings: z.record(z.string(), before.extend({ set: z.unknown() })),
  /** There was no configuration file of corduroyd. */
  madeSettings: z.boolean().optional(),
});
export type ConfigurationRecord = z.infer<typeof recordSchema>;

/** @param path of dockerd's configuration file */
export function bringIn(
  now: Configuration,
  wish: ConfigurationWish,
  path: string,
): { readonly next: Configuration; readonly record: ConfigurationRecord } {
  const document = parseObject(now.daemonJson, path);
  const { daemonJson: keys } = wish;
  const next = {
    dropIn: wish.dropIn ?? now.dropIn,
    daemonJson: keys === undefined ? now.daemonJson : mergeDaemonJson(now.daemonJson, path, keys),
    settings: { ...now.settings, ...wish.settings },
  };
  const record: ConfigurationRecord = {
    version: 1,
    ...(wish.dropIn !== undefined && {
      dropIn: now.dropIn === undefined ? {} : { before: now.dropIn },
    }),
    ...(keys !== undefined && {
      daemonJson: {
        path,
        existed: now.daemonJson !== undefined,
        // The daemon may come to set those that it does not set now.
        keys: Object.fromEntries(
          [...new Set([...Object.keys(keys), ...LEASE_KEYS])].map((key) => [key, valueBefore(document, key)]),
        ),
      },
    }),
    settings: Object.fromEntries(
      Object.entries(wish.settings).map(([key, set]) => [key, { ...valueBefore(now.settings, key), set }]),
    ),
  };
  return { next, record };
}

function valueBefore(object: Readonly<Record<string, unknown>>, key: string): { before?: unknown } {
  return key in object ? { before: object[key] } : {};
}

/**
 * Undoes what `bringIn` did. The daemon has kept the keys of dockerd's file current, so these are put back whatever they
 * are now; a setting that somebody has changed since is left, and so is a drop-in that is no longer Corduroy's.
 */
export function takeBack(now: Configuration, record: ConfigurationRecord | undefined): Configuration {
  if (record === undefined) return now;
  const { dropIn, daemonJson, settings } = record;
  const kept = Object.entries(now.settings).flatMap(([key, value]): [string, unknown][] => {
    const change = settings[key];
    if (change === undefined || !isDeepStrictEqual(change.set, value)) return [[key, value]];
    return 'before' in change ? [[key, change.before]] : [];
  });
  return {
    dropIn:
      dropIn !== undefined && now.dropIn !== undefined && isOwnDropIn(now.dropIn)
        ? dropIn.before
        : now.dropIn,
    daemonJson: daemonJson === undefined ? now.daemonJson : withoutKeys(now.daemonJson, daemonJson),
    settings: Object.fromEntries(kept),
  };
}

function withoutKeys(
  text: string | undefined,
  { path, existed, keys }: NonNullable<ConfigurationRecord['daemonJson']>,
): string | undefined {
  if (text === undefined) return undefined;
  const changes = Object.fromEntries(Object.entries(keys).map(([key, value]) => [key, value.before]));
  const rest = mergeDaemonJson(text, path, changes);
  const isEmpty = Object.keys(parseObject(rest, path)).length === 0;
  return isEmpty && !existed ? undefined : rest;
}

/** What changes in one file, a line each, with `+` or `-` before it. */
export interface FileDifference {
  readonly path: string;
  readonly lines: readonly string[];
}

/**
 * The lines that differ, and no others: what else is in these files may be secret.
 * @param paths of the files
 */
export function configurationDifference(
  now: Configuration,
  next: Configuration,
  paths: { readonly [F in keyof Configuration]: string },
): FileDifference[] {
  const parse = (text: string | undefined) => parseObject(text, paths.daemonJson);
  const all: FileDifference[] = [
    { path: paths.dropIn, lines: now.dropIn === next.dropIn ? [] : textDifference(now.dropIn, next.dropIn) },
    { path: paths.daemonJson, lines: keyDifference(parse(now.daemonJson), parse(next.daemonJson)) },
    { path: paths.settings, lines: keyDifference(now.settings, next.settings) },
  ];
  return all.filter(({ lines }) => lines.length > 0);
}

function textDifference(now: string | undefined, next: string | undefined): string[] {
  const lines = (sign: string, text: string | undefined) =>
    (text ?? '')
      .split('\n')
      .filter((line, index, all) => line !== '' || index < all.length - 1)
      .map((line) => `${sign} ${line}`.trimEnd());
  return [...lines('-', now), ...lines('+', next)];
}

function keyDifference(
  now: Readonly<Record<string, unknown>>,
  next: Readonly<Record<string, unknown>>,
): string[] {
  const line = (sign: string, key: string, object: Readonly<Record<string, unknown>>) =>
    key in object ? [`${sign} ${JSON.stringify(key)}: ${JSON.stringify(object[key])}`] : [];
  return [...new Set([...Object.keys(now), ...Object.keys(next)])]
    .filter((key) => !isDeepStrictEqual(now[key], next[key]))
    .flatMap((key) => [...line('-', key, now), ...line('+', key, next)]);
}
