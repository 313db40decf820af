import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Throttle } from '../../../src/host/throttle.ts';

describe('Throttle', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const start = () => {
    const times: number[] = [];
    const begin = performance.now();
    const throttle = new Throttle(() => times.push(performance.now() - begin), 20, 1000);
    return { throttle, times };
  };

  test('acts once for what comes together', async () => {
    const { throttle, times } = start();
    for (let each = 0; each < 5; each += 1) throttle.ask();
    await vi.advanceTimersByTimeAsync(5000);
    expect(times).toEqual([20]);
  });

  test('acts less and less often for what goes on, and does not forget the last', async () => {
    const { throttle, times } = start();
    for (let each = 0; each < 350; each += 1) {
      throttle.ask();
      await vi.advanceTimersByTimeAsync(10);
    }
    await vi.advanceTimersByTimeAsync(5000);
    expect(times).toEqual([20, 100, 420, 1420, 2420, 3420, 4420]);
  });

  test('answers what its own act has caused soon, and what comes later at once', async () => {
    const { throttle, times } = start();
    throttle.ask();
    await vi.advanceTimersByTimeAsync(50);
    throttle.ask();
    await vi.advanceTimersByTimeAsync(1080);
    throttle.ask();
    await vi.advanceTimersByTimeAsync(2000);
    expect(times).toEqual([20, 130, 1150]);
  });

  test('does nothing any more when it is stopped', async () => {
    const { throttle, times } = start();
    throttle.ask();
    throttle.stop();
    await vi.advanceTimersByTimeAsync(2000);
    expect(times).toEqual([]);
  });
});
