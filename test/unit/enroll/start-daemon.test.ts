import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { startDaemon } from '../../../src/enroll/start-daemon.ts';
import { temporaryFolder } from '../daemon/temporary-folder.ts';

describe('the daemon, as init and join start it', () => {
  let folder: string;

  beforeEach(() => {
    folder = temporaryFolder();
    const systemctl = join(folder, 'systemctl');
    writeFileSync(systemctl, `#!/bin/sh\necho "$@" >>${folder}/asked\necho ActiveState=active\n`);
    chmodSync(systemctl, 0o755);
    vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  const socketPath = () => join(folder, 'corduroyd.sock');
  /** A daemon that runs, is ready, and answers this to a reload. */
  const daemon = async (code: number, answer: object): Promise<void> => {
    const server = createServer(({ method }, response) => {
      if (method === 'POST') response.writeHead(code).end(JSON.stringify(answer));
      else response.end(JSON.stringify({ ready: true, problems: [] }));
    });
    await new Promise<void>((resolve) => server.listen(socketPath(), resolve));
    onTestFinished(() => void server.close());
  };
  const start = () =>
    startDaemon({ instance: '', socketPath: socketPath(), timeout: 1, say: () => undefined });
  /** What systemd was asked for, but for looks. */
  const asked = () =>
    (existsSync(join(folder, 'asked')) ? readFileSync(join(folder, 'asked'), 'utf8') : '')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('show'));

  test('one that runs reads its settings again, and comes back with the next boot', async () => {
    await daemon(200, { changed: [] });
    expect(await start()).toMatchObject({ ready: true });
    expect(asked()).toEqual(['enable --quiet corduroyd.service']);
  });

  test('one that does not take them up goes on, and what it says is told', async () => {
    await daemon(500, { error: '--healthz-port 2379: address already in use' });
    await expect(start()).rejects.toMatchObject({
      code: 'daemon-refused',
      message: expect.stringContaining('--healthz-port'),
    });
    expect(asked()).toEqual(['enable --quiet corduroyd.service']);
  });

  test('one that does not run is started, and enabled', async () => {
    await expect(start()).rejects.toMatchObject({ code: 'timeout' });
    expect(asked()).toEqual(['enable --quiet corduroyd.service', 'start --no-block corduroyd.service']);
  });
});
