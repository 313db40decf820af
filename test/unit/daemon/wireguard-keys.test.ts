import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isWireguardKey } from '../../../src/backend/wireguard/keys.ts';
import { newKey, WireguardKeys } from '../../../src/daemon/wireguard-keys.ts';
import { temporaryFolder } from './temporary-folder.ts';

const NAME = 'wireguard';
/** As `wg genkey` and `wg pubkey` printed them. */
const PRIVATE = 'WH9ghnLoJXx45HGFtY7n6OvYE7aMfkJ4aE8LTkNtTlU=';
const PUBLIC = 't251VlkreP1QUc+fcVg8ynMIl65bz394yFN2GokUuyg=';

function keyIn(folder: string, keys = new WireguardKeys(folder)) {
  const key = keys.get([NAME]).get(NAME);
  if (key === undefined) throw new Error('there is no key');
  return key;
}

function folderWith(content: string, mode = 0o600): string {
  const folder = temporaryFolder();
  const path = join(folder, 'wireguard.key');
  writeFileSync(path, content);
  chmodSync(path, mode);
  return folder;
}

describe("this host's WireGuard keys", () => {
  test('are made once, for root alone, and are the same for every daemon', () => {
    const folder = join(temporaryFolder(), 'state');
    const first = keyIn(folder);
    expect(readdirSync(folder)).toEqual(['wireguard.key']);
    expect(statSync(join(folder, 'wireguard.key')).mode & 0o777).toBe(0o600);
    const second = keyIn(folder);
    expect(second.publicKey).toBe(first.publicKey);
    expect(second.privateKey.equals(first.privateKey)).toBe(true);
    expect(JSON.stringify(first)).not.toContain(first.privateKey.reveal());
  });

  test('are read as wg writes them', () => {
    expect(keyIn(folderWith(`${PRIVATE}\n`))).toMatchObject({ publicKey: PUBLIC });
  });

  test('are others each time, in the form that wg gives them', () => {
    const [one, other] = [newKey(), newKey()];
    expect(one.publicKey).not.toBe(other.publicKey);
    const bytes = Buffer.from(one.privateKey.reveal(), 'base64');
    expect(isWireguardKey(one.privateKey.reveal()) && isWireguardKey(one.publicKey)).toBe(true);
    expect([bytes.readUInt8(0) & 7, bytes.readUInt8(31) & 0xc0]).toEqual([0, 0x40]);
  });

  test('are replaced in memory and on disk', () => {
    const folder = folderWith(PRIVATE);
    const keys = new WireguardKeys(folder);
    keyIn(folder, keys);
    const next = newKey();
    keys.replace(new Map([[NAME, next]]));
    expect(keyIn(folder, keys)).toBe(next);
    expect(keyIn(folder).publicKey).toBe(next.publicKey);
    expect(readdirSync(folder)).toEqual(['wireguard.key']);
  });

  test.each<[string, string, number, RegExp]>([
    ['cut short', PRIVATE.slice(0, 20), 0o600, /wireguard\.key does not hold a WireGuard key .* remove it/],
    ['empty', '', 0o600, /does not hold a WireGuard key/],
    [
      'for all to read',
      PRIVATE,
      0o644,
      /has mode 0644, so others may know it: chmod 600 .*wireguard\.key, and .* corduroy wireguard rotate$/,
    ],
  ])('that are %s are refused, and left as they are', (_what, content, mode, message) => {
    const folder = folderWith(content, mode);
    expect(() => keyIn(folder)).toThrow(message);
    expect(readFileSync(join(folder, 'wireguard.key'), 'utf8')).toBe(content);
  });
});
