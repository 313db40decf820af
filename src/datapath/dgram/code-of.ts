import { messageOf } from '../../errors.ts';

/** The system's name of an error (`EIO`), or else its text. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : messageOf(error);
}
