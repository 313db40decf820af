import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readIfThere, writeAtomically } from '../../../src/host/atomic-file.ts';
import { temporaryFolder } from '../daemon/temporary-folder.ts';

describe('writeAtomically', () => {
  test('a new file, with its mode, and nothing left beside it', () => {
    const folder = temporaryFolder();
    const path = join(folder, 'subnet.env');
    expect(writeAtomically(path, 'one\n', 0o644)).toEqual({ written: true });
    expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['one\n', 0o644]);
    expect(readdirSync(folder)).toEqual(['subnet.env']);
  });

  test('has its mode whatever the umask is', () => {
    const path = join(temporaryFolder(), 'file');
    const before = process.umask(0o077);
    try {
      writeAtomically(path, 'one', 0o644);
    } finally {
      process.umask(before);
    }
    expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  test('says which folder it had to create: the topmost', () => {
    const folder = temporaryFolder();
    expect(writeAtomically(join(folder, 'a', 'b', 'file'), 'x', 0o600)).toEqual({
      written: true,
      created: join(folder, 'a'),
    });
    expect(writeAtomically(join(folder, 'a', 'c', 'file'), 'x', 0o600).created).toBe(join(folder, 'a', 'c'));
  });

  test('what is the same already is left alone: who watches the file hears nothing', () => {
    const path = join(temporaryFolder(), 'file');
    writeAtomically(path, 'one', 0o600);
    const { ino, mtimeMs } = statSync(path);
    expect(writeAtomically(path, 'one', 0o600)).toEqual({ written: false });
    expect(statSync(path)).toMatchObject({ ino, mtimeMs });
  });

  test('a reader that has the old file open goes on reading the old content', () => {
    const path = join(temporaryFolder(), 'file');
    writeAtomically(path, 'old', 0o600);
    const { ino } = statSync(path);
    expect(writeAtomically(path, 'new', 0o600).written).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(statSync(path).ino).not.toBe(ino);
  });

  test('a symbolic link is replaced, not followed', () => {
    const folder = temporaryFolder();
    const [target, path] = [join(folder, 'target'), join(folder, 'link')];
    writeFileSync(target, 'theirs');
    symlinkSync(target, path);
    writeAtomically(path, 'ours', 0o600);
    expect([readFileSync(target, 'utf8'), readFileSync(path, 'utf8')]).toEqual(['theirs', 'ours']);
  });
});

test('readIfThere', () => {
  const folder = temporaryFolder();
  expect(readIfThere(join(folder, 'none'))).toBeUndefined();
  expect(existsSync(join(folder, 'none'))).toBe(false);
  expect(() => readIfThere(folder)).toThrow(/EISDIR/);
});
