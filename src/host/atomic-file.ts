import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { CorduroyError, messageOf } from '../errors.ts';

/**
 * Writes a file by renaming a finished one into its place: readers see the old content or the new, never a part.
 * A file that has the content already is left untouched, but for another mode.
 *
 * @returns whether it was written, and the topmost folder that had to be created for it
 * @throws CorduroyError `host-file`
 */
export function writeAtomically(
  path: string,
  content: string,
  mode: number,
): { written: boolean; created?: string } {
  const same = readIfThere(path) === content;
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    if (same) {
      // Restored from a backup, say, what is secret may have become readable to all.
      if ((statSync(path).mode & 0o777) !== mode) chmodSync(path, mode);
      return { written: false };
    }
    const created = mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    writeFileSync(temporary, content, { mode });
    chmodSync(temporary, mode); // Of a root with a strict umask, too.
    renameSync(temporary, path);
    return { written: true, ...(created === undefined ? {} : { created }) };
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new CorduroyError('host-file', `${path} cannot be written: ${messageOf(error)}`, {
      cause: error,
      retryable: true,
    });
  }
}

/**
 * As `writeAtomically`, and on the disk when it returns: what must not be lost with the power, and is never made again
 * as it was.
 *
 * @throws CorduroyError `host-file`
 */
export function writeDurably(path: string, content: string, mode: number): void {
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    rmSync(temporary, { force: true });
    writeFileSync(temporary, content, { mode, flag: 'wx', flush: true });
    renameSync(temporary, path);
    const folder = openSync(dirname(path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new CorduroyError('host-file', `${path} cannot be written: ${messageOf(error)}`, {
      cause: error,
      retryable: true,
    });
  }
}

/** @returns `undefined` when there is no such file. @throws CorduroyError `host-file` */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CorduroyError('host-file', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
