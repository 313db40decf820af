import type { BackoffOptions } from './options.ts';

/**
 * Exponential pauses with equal jitter: half of each is fixed, half random, so that the hosts of a cluster whose etcd
 * has come back do not all ask at once, yet nobody asks at full speed.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: BackoffOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
  }

  /** @returns the next pause in milliseconds, at most `ceiling` */
  next(ceiling: number): number {
    // 2^20 × any sensible minimum is beyond every ceiling; more would only overflow after days of failures.
    const doubled = this.#options.minMs * 2 ** Math.min(this.#failures, 20);
    this.#failures++;
    return Math.min(doubled, ceiling) * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
