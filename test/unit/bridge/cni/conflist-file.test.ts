import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { formatConflist } from '../../../../src/bridge/cni/conflist.ts';
import {
  keepConflist,
  removeConflist,
  removeOwnConflist,
  replaceConflist,
} from '../../../../src/bridge/cni/conflist-file.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import { temporaryFolder } from '../../daemon/temporary-folder.ts';

const textFor = (subnet: string) =>
  formatConflist({ network: 'corduroy', bridge: 'br7', subnets: [Prefix.parse(subnet)], mtu: 1472 });
const [ONE, OTHER] = [textFor('10.5.1.0/24'), textFor('10.5.2.0/24')];
const FOREIGN = '{"cniVersion": "1.0.0", "name": "k8s", "plugins": []}';

function place() {
  const folder = join(temporaryFolder(), 'cni', 'net.d');
  return { folder, conflist: join(folder, '10-corduroy.conflist'), commandSuffix: '' };
}
const foreign = (message: RegExp) =>
  expect.objectContaining({ code: 'foreign-object', message: expect.stringMatching(message) });

describe('keeping it current', () => {
  test('is made with its folder, for everybody to read', () => {
    const at = place();
    expect(keepConflist(at, ONE)).toBe(true);
    expect(readFileSync(at.conflist, 'utf8')).toBe(ONE);
    expect(statSync(at.conflist).mode & 0o777).toBe(0o644);
  });

  test('follows the lease, and is left alone while that stays', () => {
    const at = place();
    keepConflist(at, ONE);
    expect(keepConflist(at, ONE)).toBe(false);
    expect(keepConflist(at, OTHER)).toBe(true);
    expect(readFileSync(at.conflist, 'utf8')).toBe(OTHER);
    expect(readdirSync(at.folder)).toEqual(['10-corduroy.conflist']);
  });

  test('what somebody has changed stays, even while the lease does, and the message names both ways out', () => {
    const at = { ...place(), commandSuffix: ' --instance lab' };
    keepConflist(at, ONE);
    const edited = ONE.replace('"hairpinMode": true', '"hairpinMode": false');
    writeFileSync(at.conflist, edited);
    const says = foreign(
      /10-corduroy\.conflist was changed since.*: corduroy cni install --force --instance lab\. .*: corduroy cni remove --instance lab$/,
    );
    for (const text of [ONE, OTHER]) expect(() => keepConflist(at, text)).toThrow(says);
    expect(readFileSync(at.conflist, 'utf8')).toBe(edited);
  });

  test("another program's file stays", () => {
    const at = place();
    keepConflist(at, ONE);
    writeFileSync(at.conflist, FOREIGN);
    expect(() => keepConflist(at, ONE)).toThrow(foreign(/is not Corduroy's.*--cni-conflist.*--force$/));
    expect(readFileSync(at.conflist, 'utf8')).toBe(FOREIGN);
  });
});

describe('whoever says so', () => {
  test("has another's file replaced, and finds it beside", () => {
    const at = place();
    keepConflist(at, ONE);
    writeFileSync(at.conflist, FOREIGN);
    expect(replaceConflist(at, OTHER)).toBe(`${at.conflist}.old`);
    expect(readFileSync(at.conflist, 'utf8')).toBe(OTHER);
    expect(readFileSync(`${at.conflist}.old`, 'utf8')).toBe(FOREIGN);
  });

  test('has room made for a file that cannot be written yet', () => {
    const at = place();
    keepConflist(at, ONE);
    writeFileSync(at.conflist, FOREIGN);
    replaceConflist(at, undefined);
    expect(readdirSync(at.folder)).toEqual(['10-corduroy.conflist.old']);
  });

  test("has Corduroy's own file replaced without a copy", () => {
    const at = place();
    keepConflist(at, ONE);
    expect(replaceConflist(at, OTHER)).toBeUndefined();
    expect(readdirSync(at.folder)).toEqual(['10-corduroy.conflist']);
  });
});

describe('taking it away', () => {
  test('only as Corduroy wrote it', () => {
    const at = place();
    expect(removeConflist(at.conflist)).toBe('absent');
    for (const text of [FOREIGN, ONE.replace('1472', '1500')]) {
      keepConflist(at, ONE);
      writeFileSync(at.conflist, text);
      expect(removeConflist(at.conflist)).toBe('kept');
      expect(readFileSync(at.conflist, 'utf8')).toBe(text);
      writeFileSync(at.conflist, ONE);
    }
    expect(removeConflist(at.conflist)).toBe('removed');
    expect(existsSync(at.conflist)).toBe(false);
  });

  test('along with the daemon, where its settings name the file', () => {
    const at = place();
    keepConflist(at, ONE);
    expect(removeOwnConflist({ 'cni-conflist': undefined })).toEqual([]);
    expect(removeOwnConflist({ 'cni-conflist': at.conflist })).toEqual([at.conflist]);
    expect(removeOwnConflist({ 'cni-conflist': at.conflist })).toEqual([]);
  });
});
