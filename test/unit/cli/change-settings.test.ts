import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { changeSettings } from '../../../src/cli/change-settings.ts';
import { RUN_FILES } from '../../../src/config/names.ts';
import { type Options, resolveOptions } from '../../../src/config/options.ts';
import { temporaryFolder } from '../daemon/temporary-folder.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = temporaryFolder();
  file = join(folder, 'corduroyd.json');
});

const write = (text: string, mode = 0o644) => {
  writeFileSync(file, text);
  chmodSync(file, mode);
};
/** Of a command that was given this file and run-dir. */
const options = (): Options => {
  if (!existsSync(file)) write('{}');
  return resolveOptions({ 'config-file': [file], 'run-dir': [folder] }, {});
};
const content = () => JSON.parse(readFileSync(file, 'utf8'));

/** A daemon that answers whatever it is asked. @returns what it was asked */
async function daemon(status: number, answer: object): Promise<string[]> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(status).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(join(folder, RUN_FILES.daemonSocket), resolve));
  onTestFinished(() => void server.close());
  return asked;
}

describe('settings in the configuration file', () => {
  test('are added, changed and removed; the others and their order stay', async () => {
    write('{"etcd-endpoints": ["https://a:2379"], "docker": "options", "iface": "eth1"}');
    const change = await changeSettings(options(), { docker: 'off', iface: undefined, 'cni-conflist': '/x' });
    expect(change).toEqual({ file, written: true, reloaded: false });
    expect(readFileSync(file, 'utf8')).toBe(
      '{\n  "etcd-endpoints": [\n    "https://a:2379"\n  ],\n  "docker": "off",\n  "cni-conflist": "/x"\n}\n',
    );
  });

  test('stay as secret as they were', async () => {
    write('{"etcd-username": "u", "etcd-password": "hunter2"}', 0o600);
    await changeSettings(options(), { 'cni-conflist': '/x' });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(content()['etcd-password']).toBe('hunter2');
  });

  test.skipIf(process.getuid?.() !== 0)('stay with owner and group of the file (needs root)', async () => {
    write('{}', 0o640);
    chownSync(file, 1, 2);
    await changeSettings(options(), { 'cni-conflist': '/x' });
    const { uid, gid, mode } = statSync(file);
    expect([uid, gid, mode & 0o777]).toEqual([1, 2, 0o640]);
  });

  test('are written to where a symbolic link leads', async () => {
    const managed = join(folder, 'managed.json');
    writeFileSync(managed, '{"iface": "eth1"}');
    symlinkSync('managed.json', file);
    await changeSettings(options(), { 'cni-conflist': '/x' });
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(JSON.parse(readFileSync(managed, 'utf8'))).toEqual({ iface: 'eth1', 'cni-conflist': '/x' });
  });

  test('that are as wished already are not written again, whatever the spaces', async () => {
    const text = '{ "cni-conflist":"/x" }';
    write(text);
    const wish = { 'cni-conflist': '/x', 'cni-network': undefined };
    expect(await changeSettings(options(), wish)).toMatchObject({ written: false });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  test('get a file that every user can read, for corduroy status: where there is something to write', async () => {
    const before = options();
    rmSync(file);
    expect(await changeSettings(before, { 'cni-conflist': undefined })).toMatchObject({ written: false });
    expect(existsSync(file)).toBe(false);
    await changeSettings(before, { 'cni-conflist': '/x' });
    expect(content()).toEqual({ 'cni-conflist': '/x' });
    expect(statSync(file).mode & 0o777).toBe(0o644);
  });
});

describe('a running daemon', () => {
  test('is asked to read them', async () => {
    const asked = await daemon(200, { changed: ['cni-conflist'] });
    expect(await changeSettings(options(), { 'cni-conflist': '/x' })).toMatchObject({ reloaded: true });
    expect(asked).toEqual(['POST /v1/reload']);
  });

  test.each([undefined, '{"cni-network": "n"}'])(
    'that refuses is quoted, and the file is as it was: %s',
    async (text) => {
      await daemon(400, { error: '"iface" in FILE is empty' });
      const given = options();
      if (text === undefined) rmSync(file, { force: true });
      else writeFileSync(file, text);
      await expect(changeSettings(given, { 'cni-conflist': '/x' })).rejects.toMatchObject({
        code: 'daemon-refused',
        message: `the running corduroyd does not take this up, and ${file} is as it was: "iface" in FILE is empty`,
      });
      expect(existsSync(file) ? readFileSync(file, 'utf8') : undefined).toBe(text);
    },
  );
});
