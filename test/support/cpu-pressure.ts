import { readFileSync } from 'node:fs';

/**
 * Milliseconds, since the boot, in which some process had work and no CPU to do it on (Linux PSI, proc(5)); 0 where the
 * kernel does not count them.
 */
export function cpuStarved(): number {
  try {
    const total = /^some .*total=(\d+)/m.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1];
    return Number(total ?? 0) / 1000;
  } catch {
    return 0;
  }
}

/** A time limit that means what it says on a machine of one's own, and is longer on a busy one. */
export class Patience {
  readonly #startedAt = performance.now();
  readonly #starvedBefore = cpuStarved();
  readonly #limit: number;

  /** @param limit milliseconds in which nobody waited for a CPU; four times as many by the clock are the end anyway */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Milliseconds by the clock. */
  get elapsed(): number {
    return performance.now() - this.#startedAt;
  }

  get isOver(): boolean {
    const starved = cpuStarved() - this.#starvedBefore;
    return this.elapsed - starved > this.#limit || this.elapsed > 4 * this.#limit;
  }
}
