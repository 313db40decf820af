import { describe, expect, test } from 'vitest';
import { Trust } from '../../../src/daemon/trust.ts';

describe('Trust', () => {
  const start = () => {
    const clock = { now: 1000 };
    const trust = new Trust(() => clock.now);
    return { clock, trust };
  };
  const done = async () => undefined;

  test('holds for a wish that was brought about, for a while', async () => {
    const { clock, trust } = start();
    expect(trust.holds('a', 5000)).toBe(false);
    await trust.renew('a', done);
    expect(trust.holds('a', 5000)).toBe(true);
    expect(trust.holds('b', 5000)).toBe(false);
    clock.now += 5000;
    expect(trust.holds('a', 5000)).toBe(false);
    expect(trust.lookedAt).toBe(1000);
  });

  test('ends with a doubt, even one that arose while it was being renewed', async () => {
    const { trust } = start();
    await trust.renew('a', done);
    trust.doubt();
    expect(trust.holds('a', 5000)).toBe(false);
    await trust.renew('a', async () => trust.doubt());
    expect(trust.holds('a', 5000)).toBe(false);
    await trust.renew('a', done);
    expect(trust.holds('a', 5000)).toBe(true);
  });

  test('is not won by a failure, which is passed on', async () => {
    const { trust } = start();
    await trust.renew('a', done);
    const failing = trust.renew('a', async () => {
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(trust.holds('a', 5000)).toBe(false);
    expect(trust.lookedAt).toBe(1000);
  });
});
