import { renameSync, rmSync } from 'node:fs';
import type { FlagValues } from '../../config/flags.ts';
import { CorduroyError, messageOf } from '../../errors.ts';
import { readIfThere, writeAtomically } from '../../host/atomic-file.ts';
import { authorOf } from './conflist.ts';
import type { CniSettings } from './settings.ts';

type Place = Pick<CniSettings, 'conflist' | 'commandSuffix'>;

/**
 * Brings a conflist to its content, unless somebody else has a hand in what is there. Runtimes read the old content or
 * the new: the file takes its place finished, and they look at names that end in `.conflist` only.
 *
 * @returns whether it was written
 * @throws CorduroyError `foreign-object` naming the commands that decide; `host-file`
 */
export function keepConflist(place: Place, text: string): boolean {
  requireOwn(place);
  return writeAtomically(place.conflist, text, 0o644).written;
}

/**
 * As `keepConflist`, for whoever has decided: what somebody else wrote is put aside.
 *
 * @param text `undefined`: there is nothing to write yet
 * @returns where what stood there is now, if it was put aside
 */
export function replaceConflist({ conflist }: Place, text: string | undefined): string | undefined {
  const there = readIfThere(conflist);
  const aside = there === undefined || authorOf(there) === 'corduroy' ? undefined : `${conflist}.old`;
  if (aside !== undefined) putAside(conflist, aside);
  if (text !== undefined) writeAtomically(conflist, text, 0o644);
  return aside;
}

/** @throws CorduroyError `foreign-object` when a file is there that is not as Corduroy has written it */
export function requireOwn({ conflist, commandSuffix }: Place): void {
  const text = readIfThere(conflist);
  const author = text === undefined ? 'corduroy' : authorOf(text);
  if (author === 'corduroy') return;
  const again = `corduroy cni install --force${commandSuffix}`;
  throw new CorduroyError(
    'foreign-object',
    author === 'changed'
      ? `${conflist} was changed since Corduroy wrote it, and stays as it is, whatever this host's subnet and MTU are. ` +
          `Have it written anew (a copy is kept): ${again}. Or keep it current yourself: corduroy cni remove${commandSuffix}`
      : `${conflist} is not Corduroy's, and stays as it is. Name another file with --cni-conflist, or replace this one ` +
          `(a copy is kept): ${again}`,
  );
}

/** What became of a file that is not wanted any more. */
export type Removal = 'removed' | 'absent' | 'kept';

/** Removes a conflist that is as Corduroy has written it. */
export function removeConflist(path: string): Removal {
  const text = readIfThere(path);
  if (text === undefined) return 'absent';
  if (authorOf(text) !== 'corduroy') return 'kept';
  rmSync(path, { force: true });
  return 'removed';
}

/** For `corduroy down`. @returns the path of what was removed, if anything was */
export function removeOwnConflist(flags: Pick<FlagValues, 'cni-conflist'>): string[] {
  // Without the setting, the default place is another daemon's: hosts that are namespaces share their files.
  const path = flags['cni-conflist'];
  return path !== undefined && removeConflist(path) === 'removed' ? [path] : [];
}

function putAside(path: string, aside: string): void {
  try {
    renameSync(path, aside);
  } catch (error) {
    throw new CorduroyError('host-file', `${path} cannot be renamed: ${messageOf(error)}`, { cause: error });
  }
}
