import { describe, expect, test } from 'vitest';
import { LastingProblem } from '../../../src/observe/log.ts';
import { RecordedLog } from '../lease/recorded-log.ts';

const MINUTE = 60_000;

function create() {
  const log = new RecordedLog();
  const clock = { ms: 0 };
  return { log, clock, condition: new LastingProblem(log, () => clock.ms) };
}

describe('LastingProblem', () => {
  test('is said once, again every ten minutes, and when it is over', () => {
    const { log, clock, condition } = create();
    for (; clock.ms < 25 * MINUTE; clock.ms += 1000) condition.raise('etcd is away');
    condition.clear('etcd is back');
    condition.clear('etcd is back');
    expect(log.lines).toEqual([
      'warn: etcd is away',
      'warn: still: etcd is away',
      'warn: still: etcd is away',
      'info: etcd is back',
    ]);
  });

  test('a reminder says what still holds at the same low rate, and nothing when nothing does', () => {
    const { log, clock, condition } = create();
    condition.remind();
    condition.raise('etcd is away');
    for (; clock.ms < 25 * MINUTE; clock.ms += MINUTE) condition.remind();
    expect(log.lines).toEqual([
      'warn: etcd is away',
      'warn: still: etcd is away',
      'warn: still: etcd is away',
    ]);
  });

  test('another message is said at once', () => {
    const { log, condition } = create();
    for (const message of ['one', 'one', 'two', 'one']) condition.raise(message);
    expect(log.lines).toEqual(['warn: one', 'warn: two', 'warn: one']);
    expect(condition.current).toBe('one');
  });

  test('when it comes back it is news', () => {
    const { log, condition } = create();
    condition.clear('over');
    expect(condition.current).toBeUndefined();
    condition.raise('one');
    condition.clear();
    condition.raise('one');
    expect(log.lines).toEqual(['warn: one', 'warn: one']);
  });
});
