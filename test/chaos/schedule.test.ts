import { describe, expect, it } from 'vitest';
import { kindOf, type Step, schedule } from './schedule.ts';

const OPTIONS = { hosts: 5, members: 3 };
const steps = (seed: number, count: number, options = {}): Step[] => {
  const faults = schedule(seed, { ...OPTIONS, ...options });
  return Array.from({ length: count }, () => faults.next().value);
};

describe('the faults of a chaos run', () => {
  it('are the same for the same seed, however far apart the runs are', () => {
    expect(steps(7, 200)).toEqual(steps(7, 200));
    // Once printed, a seed has to stay good for the run it was printed by.
    expect(steps(7, 3).map(kindOf)).toMatchInlineSnapshot(`
      [
        "member-killed",
        "member-hangs",
        "leader-isolated + address-changed",
      ]
    `);
  });

  it('are others for another seed', () => {
    expect(steps(7, 20).map(kindOf)).not.toEqual(steps(8, 20).map(kindOf));
  });

  it('have every kind in each round of fourteen, alone or with another', () => {
    for (const first of [0, 14, 28]) {
      const kinds = steps(3, 42)
        .slice(first, first + 14)
        .flatMap(({ etcd, host }) => [etcd?.kind, host?.kind]);
      expect(new Set(kinds.filter(Boolean)).size).toBe(10);
    }
  });

  it('name members and hosts that exist, and last for seconds', () => {
    for (const { etcd, host } of steps(11, 500)) {
      for (const fault of [etcd, host]) {
        if (fault === undefined) continue;
        if ('member' in fault) expect([0, 1, 2]).toContain(fault.member);
        if ('host' in fault) expect([0, 1, 2, 3, 4]).toContain(fault.host);
        if ('lasts' in fault) expect(fault.lasts).toBeLessThanOrEqual(5000);
      }
    }
  });

  it('leave out what they shall', () => {
    const kinds = steps(5, 100, { without: ['address-changed', 'backup-restored'] })
      .map(kindOf)
      .join();
    expect(kinds).not.toMatch(/address-changed|backup-restored/);
    expect(kinds).toContain('quorum-lost + daemon-killed');
  });
});
