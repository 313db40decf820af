import { spawnSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { daemonRequest } from '../../../src/daemon/control-client.ts';
import {
  type ControlHandlers,
  lockInstance,
  lockPath,
  serveControl,
  serveHealth,
} from '../../../src/daemon/control-server.ts';
import type { StatusDocument } from '../../../src/daemon/status.ts';
import { CorduroyError } from '../../../src/errors.ts';
import { temporaryFolder } from './temporary-folder.ts';

const STATUS = { schema: 1, pid: 4711 } as StatusDocument;

function handlers(over: Partial<ControlHandlers> = {}): ControlHandlers {
  return {
    status: async () => STATUS,
    reload: async () => ({ changed: [] }),
    rotateWireguardKey: async () => ({ before: 'one', after: 'other', lease: '/key', tookMs: 1 }),
    stop: async () => undefined,
    ...over,
  };
}

function closing(server: Server): Server {
  onTestFinished(() => void server.close());
  return server;
}

async function serve(over: Partial<ControlHandlers> = {}, path = join(temporaryFolder(), 'd.sock')) {
  return { server: closing(await serveControl(path, handlers(over))), path };
}

describe("the daemon's socket", () => {
  test('answers what it is asked; nobody but root may ask', async () => {
    const stops: boolean[] = [];
    const { path } = await serve({ stop: async (release) => void stops.push(release) });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await daemonRequest(path, 'GET', '/v1/status')).toEqual(STATUS);
    expect(await daemonRequest(path, 'POST', '/v1/stop')).toEqual({});
    expect(await daemonRequest(path, 'POST', '/v1/stop?release=true')).toEqual({});
    expect(stops).toEqual([false, true]);
  });

  test.each([
    ['GET', '/'],
    ['GET', '/v2/status'],
    ['POST', '/v1/status'],
    ['GET', '/v1/stop'],
    ['GET', '/v1/reload'],
    ['POST', '/v1/stop?release=yes'],
  ] as const)('%s %s is none of its paths, and does nothing', async (method, request) => {
    let stopped = false;
    const { path } = await serve({
      stop: async () => {
        stopped = true;
      },
    });
    await expect(daemonRequest(path, method, request)).rejects.toThrow(/there are GET \/v1\/status, POST/);
    expect(stopped).toBe(false);
  });

  test('reads the settings again, and says what has changed or why they are refused', async () => {
    let good = true;
    const { path } = await serve({
      reload: async () => {
        if (good) return { changed: ['iface'] };
        throw new CorduroyError('usage', '"ifcae" is not a setting');
      },
    });
    expect(await daemonRequest(path, 'POST', '/v1/reload')).toEqual({ changed: ['iface'] });
    good = false;
    await expect(daemonRequest(path, 'POST', '/v1/reload')).rejects.toMatchObject({
      code: 'daemon-refused',
      message: '"ifcae" is not a setting',
    });
  });

  test('an answer that fails says why, and the next one is not harmed', async () => {
    let fails = true;
    const { path } = await serve({
      status: async () => {
        if (fails) throw new Error('out of order');
        return STATUS;
      },
    });
    await expect(daemonRequest(path, 'GET', '/v1/status')).rejects.toThrow(/out of order/);
    fails = false;
    expect(await daemonRequest(path, 'GET', '/v1/status')).toEqual(STATUS);
  });

  test('a second daemon is refused, and told by whom and what to do', async () => {
    const { path } = await serve();
    await expect(serveControl(path, handlers())).rejects.toMatchObject({
      code: 'held',
      message: expect.stringMatching(/pid 4711 runs with this run-dir .*d\.sock.*--instance/),
    });
    expect(await daemonRequest(path, 'GET', '/v1/status')).toEqual(STATUS);
  });

  test('a second daemon is refused as well while the first one answers with an error', async () => {
    const { path } = await serve({ status: () => Promise.reject(new Error('out of order')) });
    const second = serveControl(path, handlers()).then(closing);
    await expect(second).rejects.toMatchObject({ code: 'held' });
  });

  test('what a daemon that crashed has left is replaced', async () => {
    const path = join(temporaryFolder(), 'd.sock');
    writeFileSync(path, '');
    await serve({}, path);
    expect(await daemonRequest(path, 'GET', '/v1/status')).toEqual(STATUS);
  });

  test('rubbish from a client does no harm', async () => {
    const { path } = await serve();
    const socket = createConnection(path);
    socket.on('error', () => undefined);
    socket.resume().end('\u0000\u0001 rubbish\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    expect(await daemonRequest(path, 'GET', '/v1/status')).toEqual(STATUS);
  });

  test('a folder that does not exist is an error', async () => {
    await expect(serveControl('/nonexistent/d.sock', handlers())).rejects.toMatchObject({ code: 'held' });
  });
});

describe('the lock of a name', () => {
  test('is held by one until that ends; the other may try again', async () => {
    const path = join(temporaryFolder(), 'a.lock');
    const first = await lockInstance(path);
    const refusal = {
      code: 'held',
      retryable: true,
      message: expect.stringMatching(/a\.lock\): stop it, .*--instance/),
    };
    await expect(lockInstance(path).then(closing)).rejects.toMatchObject(refusal);
    await expect(lockInstance(path).then(closing)).rejects.toMatchObject(refusal);
    first.close();
    expect(existsSync(path)).toBe(false);
    closing(await lockInstance(path));
  });

  test('what a daemon that crashed has left is no lock', async () => {
    const path = join(temporaryFolder(), 'a.lock');
    const script =
      'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))';
    spawnSync(process.execPath, ['-e', script, path]);
    expect(existsSync(path)).toBe(true);
    closing(await lockInstance(path));
    await expect(lockInstance(path).then(closing)).rejects.toMatchObject({ code: 'held' });
  });

  test.skipIf(process.getuid?.() !== 0)('is nothing that another user can take (needs root)', async () => {
    const path = lockPath('corduroy-test');
    const script =
      'require("net").createServer().on("error", ({ code }) => console.log(code)).listen(process.argv[1])';
    const { stdout } = spawnSync(process.execPath, ['-e', script, path], {
      uid: 65_534,
      gid: 65_534,
      encoding: 'utf8',
      timeout: 5000,
    });
    expect([stdout.trim(), existsSync(path)]).toEqual(['EACCES', false]);
  });
});

describe('a daemon that cannot be asked', () => {
  test('nobody there: says how to start it', async () => {
    const path = join(temporaryFolder(), 'd.sock');
    const failure = daemonRequest(path, 'GET', '/v1/status');
    await expect(failure).rejects.toMatchObject({
      code: 'no-daemon',
      message: expect.stringMatching(/d\.sock: it is not running \(start it: systemctl start corduroyd, /),
    });
    expect(existsSync(path)).toBe(false);
  });

  test.each(['hello', '{"schema": 1', ''])('it answers %j', async (body) => {
    const path = join(temporaryFolder(), 'd.sock');
    const server = createServer((_request, response) => response.end(body));
    await new Promise<void>((resolve) => void server.listen(path, resolve));
    closing(server);
    await expect(daemonRequest(path, 'GET', '/v1/status')).rejects.toMatchObject({
      code: 'daemon-refused',
      message: expect.stringMatching(/is not served by corduroyd/),
    });
  });

  test('it goes away in the middle of its answer', { timeout: 2000 }, async () => {
    const path = join(temporaryFolder(), 'd.sock');
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('{"schema"', () => response.destroy());
    });
    await new Promise<void>((resolve) => void server.listen(path, resolve));
    closing(server);
    await expect(daemonRequest(path, 'GET', '/v1/status')).rejects.toMatchObject({ code: 'no-daemon' });
  });
});

test('/healthz says that it runs, /readyz that it is ready', async () => {
  let ready = false;
  const server = closing(await serveHealth('127.0.0.1', 0, () => ready));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const code = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
  expect([await code('/healthz'), await code('/readyz'), await code('/')]).toEqual([200, 503, 404]);
  ready = true;
  expect([await code('/healthz'), await code('/readyz')]).toEqual([200, 200]);
  await expect(serveHealth('127.0.0.1', port ?? 0, () => true)).rejects.toMatchObject({
    code: 'held',
    message: expect.stringContaining('EADDRINUSE'),
  });
});
