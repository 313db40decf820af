import { describe, expect, test } from 'vitest';
import { LoneHost, type Running, until } from './lone-host.ts';

const SAID = 'a defect in corduroyd: nobody foresaw this; its log has more';
const errors = ({ log }: Running) => log.lines.filter((line) => line === 'error: a defect in corduroyd');
const thrower = (): never => {
  throw new TypeError('nobody foresaw this');
};

/** Many rounds, by whatever wakes a daemon. */
async function rounds({ daemon }: Running): Promise<void> {
  for (let count = 0; count < 20; count++) {
    daemon.hint('host');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('something is thrown in a round that nobody foresaw', () => {
  test('at the start: said once as an error, a problem while it lasts, and gone with a round that succeeds', async () => {
    const host = await LoneHost.create();
    const { hardwareOf } = host;
    host.hardwareOf = thrower;
    const one = host.start();
    await until(() => one.daemon.problems.includes(SAID));
    await rounds(one);
    expect([errors(one).length, one.daemon.problems, one.daemon.ready]).toEqual([1, [SAID], false]);
    host.hardwareOf = hardwareOf;
    one.daemon.hint('host');
    await until(() => one.isHeld);
    expect(one.daemon.problems).toEqual([]);
  });

  test('later, and again after it was over: said each time, and packets flow', async () => {
    const host = await LoneHost.create();
    await host.lease('10.5.2.0-24', '192.0.2.2');
    const one = host.start();
    await until(() => one.isHeld && host.engine?.routes.length === 1);
    const { hardwareOf } = host;
    for (const times of [1, 2]) {
      host.hardwareOf = thrower;
      one.daemon.hint('host');
      await until(() => one.daemon.problems.includes(SAID));
      await rounds(one);
      expect([errors(one).length, host.engine?.routes.length]).toEqual([times, 1]);
      host.hardwareOf = hardwareOf;
      one.daemon.hint('host');
      await until(() => one.daemon.ready && one.daemon.problems.length === 0);
    }
  });

  test('in a part of the round that says its own problems: once, too', async () => {
    const host = await LoneHost.create();
    const own = host.iface;
    host.iface = Object.defineProperty({ ...own }, 'mac', { get: thrower });
    const one = host.start();
    await until(() => one.daemon.problems.join().includes('nobody foresaw this'));
    await rounds(one);
    expect(errors(one)).toHaveLength(1);
    host.iface = own;
    one.daemon.hint('interface');
    await until(() => one.isHeld && one.daemon.problems.length === 0);
  });
});
