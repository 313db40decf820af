import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Wake } from '../../../src/daemon/wake.ts';

describe('Wake', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** Whether a wait has ended after so many more milliseconds. */
  function waiting(wake: Wake, milliseconds: number) {
    let over = false;
    void wake.wait(milliseconds).then(() => {
      over = true;
    });
    return async (later: number) => {
      await vi.advanceTimersByTimeAsync(later);
      return over;
    };
  }

  test('wakes when the time has passed', async () => {
    const over = waiting(new Wake(), 1000);
    expect(await over(999)).toBe(false);
    expect(await over(1)).toBe(true);
  });

  test('wakes when it is called', async () => {
    const wake = new Wake();
    const over = waiting(wake, 1000);
    expect(await over(10)).toBe(false);
    wake.now();
    expect(await over(0)).toBe(true);
  });

  test('calls while the loop works make one more round, however many they are', async () => {
    const wake = new Wake();
    wake.now();
    wake.now();
    expect(await waiting(wake, 1000)(0)).toBe(true);
    const over = waiting(wake, 1000);
    expect(await over(999)).toBe(false);
    expect(await over(1)).toBe(true);
  });

  test('a call that ended a wait does not end the next one', async () => {
    const wake = new Wake();
    const first = waiting(wake, 1000);
    wake.now();
    expect(await first(0)).toBe(true);
    expect(await waiting(wake, 1000)(999)).toBe(false);
  });

  test.each([0, -5, Number.NEGATIVE_INFINITY])('%d ms are no time', async (milliseconds) => {
    expect(await waiting(new Wake(), milliseconds)(1)).toBe(true);
  });

  test('for ever is long, and not a timer that overflows', async () => {
    const over = waiting(new Wake(), Number.POSITIVE_INFINITY);
    expect(await over(20 * 86_400_000)).toBe(false);
  });
});
