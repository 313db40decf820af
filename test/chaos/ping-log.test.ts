import { describe, expect, it } from 'vitest';
import { LOST_AFTER, outagesOf, PingLog } from '../support/ping-watch.ts';

const answer = (at: number, sequence: number) =>
  `[${at.toFixed(6)}] 64 bytes from 10.244.1.2: icmp_seq=${sequence} ttl=62 time=0.09 ms`;
const noAnswer = (at: number, sequence: number) =>
  `[${at.toFixed(6)}] no answer yet for icmp_seq=${sequence}`;
const logOf = (...lines: string[]) => {
  const log = new PingLog();
  for (const line of lines) log.read(line);
  return log;
};

describe('what ping says', () => {
  it('is late, not lost, when the answer comes after the next ping was sent', () => {
    const log = logOf(answer(1000, 1), noAnswer(1000.1, 2), answer(1000.9, 2), answer(1001, 3));
    expect(log.settle(1_000_000 + 2 * LOST_AFTER)).toEqual([]);
    expect(log).toMatchObject({ answered: 3, late: 1, lost: 0, isLate: false });
  });

  it('is lost when no answer has come in three seconds, and was sent one interval before ping said so', () => {
    const log = logOf(answer(1000, 1), noAnswer(1000.1, 2), answer(1000.1, 3));
    expect(log.settle(1_000_050 + LOST_AFTER)).toEqual([]);
    expect(log.settle(1_000_051 + LOST_AFTER)).toEqual([1_000_050]);
    expect(log).toMatchObject({ answered: 2, lost: 1 });
  });

  it('is lost when a router answers instead', () => {
    const log = logOf(
      '[1000.5] From 10.244.1.1 icmp_seq=7 Destination Host Unreachable',
      noAnswer(1000.6, 7),
    );
    expect(log.settle(1_000_500 + LOST_AFTER + 1)).toEqual([1_000_500]);
  });

  it('is one outage as long as the losses follow one another', () => {
    expect(outagesOf([])).toEqual([]);
    expect(outagesOf([0, 50, 100, 5000])).toEqual([
      { firstAt: 0, lastAt: 100, lost: 3 },
      { firstAt: 5000, lastAt: 5000, lost: 1 },
    ]);
  });
});
