import { CorduroyError } from '../errors.ts';

/**
 * The text of a daemon's configuration file with some settings changed; everything else stays in its place.
 *
 * @param text what the file holds; `undefined`: there is none
 * @param changes by flag name; `undefined` removes a setting
 * @throws CorduroyError `usage` when the file holds no JSON object
 */
export function editConfig(
  text: string | undefined,
  path: string,
  changes: Readonly<Record<string, unknown>>,
): string {
  const settings = { ...parseObject(text, path) };
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete settings[name];
    else settings[name] = value;
  }
  return `${JSON.stringify(settings, undefined, 2)}\n`;
}

/**
 * @param text what a file holds; `undefined`: there is none
 * @throws CorduroyError `usage` when it holds no JSON object
 */
export function parseObject(text: string | undefined, path: string): Readonly<Record<string, unknown>> {
  if (text === undefined || text.trim() === '') return {};
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may hold a password.
    throw new CorduroyError('usage', `${path} is not JSON, and was left as it is: mend it first`);
  }
  if (typeof document === 'object' && document !== null && !Array.isArray(document))
    return document as Record<string, unknown>;
  throw new CorduroyError('usage', `${path} holds no JSON object, and was left as it is: mend it first`);
}
