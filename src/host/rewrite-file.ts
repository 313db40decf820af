import { chownSync, realpathSync, type Stats, statSync } from 'node:fs';
import { CorduroyError, messageOf } from '../errors.ts';
import { writeAtomically } from './atomic-file.ts';

/**
 * As `writeAtomically`, for a file that is an operator's: it keeps its mode, owner and group, and a symbolic link goes on
 * leading to it. One that is not there yet can be read by everybody.
 *
 * @throws CorduroyError `host-file`
 */
export function rewriteFile(path: string, content: string): void {
  const there = statSync(path, { throwIfNoEntry: false });
  const target = there === undefined ? path : realpathSync(path);
  writeAtomically(target, content, there === undefined ? 0o644 : there.mode & 0o777);
  if (there !== undefined) giveBack(target, there);
}

/** The new file was made by whoever runs this: until here, it could be read by fewer than before. */
function giveBack(path: string, { uid, gid }: Stats): void {
  const now = statSync(path);
  if (now.uid === uid && now.gid === gid) return;
  try {
    chownSync(path, uid, gid);
  } catch (error) {
    throw new CorduroyError(
      'host-file',
      `${path} is written, and cannot be given back to its owner: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
