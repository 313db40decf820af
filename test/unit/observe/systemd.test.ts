import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ServiceNotifier, statusText, watchdogInterval } from '../../../src/observe/systemd.ts';

describe('what systemd is told', () => {
  let sent: string[];
  let complaints: string[];
  let fails: boolean;
  let notifier: ServiceNotifier;

  beforeEach(() => {
    vi.useFakeTimers();
    sent = [];
    complaints = [];
    fails = false;
    const send = async (variables: readonly string[]) => {
      if (fails) throw new Error('there is no systemd-notify');
      sent.push(variables.join(' '));
    };
    notifier = new ServiceNotifier(send, (text) => complaints.push(text));
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const tell = async (ready: boolean, status: string) => {
    notifier.tell({ ready, status });
    await vi.advanceTimersByTimeAsync(0);
  };

  test('every change once, and READY once in a life', async () => {
    for (const [ready, status] of [
      [false, 'etcd is away'],
      [false, 'etcd is away'],
      [true, 'ready: a'],
      [true, 'ready: a'],
      [false, 'the data plane has gone'],
      [true, 'ready: a'],
    ] as const) {
      await tell(ready, status);
      await vi.advanceTimersByTimeAsync(2000);
    }
    expect(sent).toEqual([
      'STATUS=etcd is away',
      'READY=1 STATUS=ready: a',
      'STATUS=the data plane has gone',
      'STATUS=ready: a',
    ]);
  });

  test('of many changes in a moment the first and the last, and READY without delay', async () => {
    for (let peers = 1; peers <= 100; peers++) await tell(false, `${peers}`);
    expect(sent).toEqual(['STATUS=1']);
    await tell(true, 'ready');
    expect(sent).toEqual(['STATUS=1', 'READY=1 STATUS=ready']);
    await tell(true, 'more');
    await tell(true, 'still more');
    await vi.advanceTimersByTimeAsync(5000);
    expect(sent.slice(2)).toEqual(['STATUS=still more']);
  });

  test('READY that could not be said is said later; one complaint', async () => {
    fails = true;
    await tell(true, 'ready');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(complaints).toEqual(['systemd cannot be told how this daemon is: there is no systemd-notify']);
    fails = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent).toEqual(['READY=1 STATUS=ready']);
  });

  test('nothing more after the end was announced', async () => {
    await tell(true, 'ready');
    await notifier.stopping('stopped');
    await tell(false, 'setting up');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toEqual(['READY=1 STATUS=ready', 'STOPPING=1 STATUS=stopped']);
  });

  test('a status is one line, and short enough for systemd (4096 bytes)', async () => {
    await tell(false, `two\nlines ${'ü'.repeat(5000)}`);
    expect(sent[0]).toMatch(/^STATUS=two\\nlines ü+…$/);
    expect(Buffer.byteLength(sent[0] ?? '')).toBeLessThan(4096);
  });
});

test.each([
  [true, [], 'ready: 10.5.3.0/24, peers: 4'],
  [false, ['etcd does not answer'], 'etcd does not answer'],
  [false, ['a', 'b', 'c'], 'a (and 2 more: corduroy status)'],
  [true, ['docker0 differs'], 'ready: 10.5.3.0/24, peers: 4; but docker0 differs'],
])('status line: ready %s with problems %j', (ready, problems, expected) => {
  expect(statusText(ready, '10.5.3.0/24, peers: 4', problems)).toBe(expected);
});

test.each<[NodeJS.ProcessEnv, number | undefined]>([
  [{}, undefined],
  [{ WATCHDOG_USEC: '60000000' }, 30_000],
  [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '42' }, 30_000],
  [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '43' }, undefined],
  [{ WATCHDOG_USEC: 'rubbish' }, undefined],
])('signs of life by %j: %s', (environment, expected) => {
  expect(watchdogInterval(environment, 42)).toBe(expected);
});
