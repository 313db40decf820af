/** Base64 of 32 bytes, in the one spelling that `wg` writes and takes: keys and pre-shared keys. */
const KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

export function isWireguardKey(text: unknown): text is string {
  return typeof text === 'string' && KEY.test(text);
}
