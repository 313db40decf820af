import { statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isAlive, waitForEnd } from '../../support/netns.ts';
import { type EngineLab, TUN } from './engine-lab.ts';

/** How an engine ends, asked or not. */
export function describeEnding(lab: () => EngineLab): void {
  test('shutdown: it is gone when the call returns, and another can be started in its place', async () => {
    const datapath = await lab().connectConfigured();
    await datapath.shutdown();
    await waitForEnd(lab().pid, 1000);
    expect(await lab().ended()).toEqual({ code: null, signal: 'SIGTERM' });

    lab().restart();
    const next = await lab().connectConfigured();
    expect(next.hello.pid).toBe(lab().pid);
  });

  test('shutdown of an idle one removes the socket file', async () => {
    const datapath = await lab().connect();
    await datapath.shutdown();
    await lab().ended();
    expect(() => statSync(lab().socketPath)).toThrow(/ENOENT/);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s ends it at once, though it waits for a packet',
    async (signal) => {
      await lab().connectConfigured();
      lab().engine.kill(signal);
      expect(await lab().ended()).toEqual({ code: null, signal: 'SIGTERM' });
      expect(lab().log).toMatch(new RegExp(`ends: ${signal}`));
    },
  );

  test('the device is deleted: it says so and ends with a failure, to be started again', async () => {
    const datapath = await lab().connectConfigured();
    expect(isAlive(lab().pid)).toBe(true);
    await lab().namespace.run('ip', 'link', 'delete', TUN);
    expect(await lab().ended()).toEqual({ code: 1, signal: null });
    await datapath.closed;
    await expect(datapath.stats()).rejects.toMatchObject({ code: 'datapath' });
    expect(lab().log).toMatch(/the device cdyt0 is gone/);
  });
}
