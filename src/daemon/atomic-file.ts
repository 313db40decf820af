import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Writes a file by renaming a finished one into its place: readers see the old content or the new, never a part.
 * A file that has the content already is left untouched.
 *
 * @returns whether it was written, and the topmost folder that had to be created for it
 */
export function writeAtomically(
  path: string,
  content: string,
  mode: number,
): { written: boolean; created?: string } {
  if (readIfThere(path) === content) return { written: false };
  const created = mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.tmp-${process.pid}`;
  writeFileSync(temporary, content, { mode });
  renameSync(temporary, path);
  return { written: true, ...(created === undefined ? {} : { created }) };
}

/** @returns `undefined` when there is no such file */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
