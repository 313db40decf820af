import { isCode } from '../errors.ts';
import type { Wanted } from '../lease/acquire.ts';
import type { LeaseKeeper } from '../lease/lease-keeper.ts';
import type { NetworkView } from './network-view.ts';
import type { Problems } from './problems.ts';

export interface LeaseMinderOptions {
  readonly leases: LeaseKeeper;
  readonly view: NetworkView;
  readonly problems: Problems;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Starts a round of the daemon. */
  readonly wake: () => void;
}

/** Milliseconds to the next try. */
const RETRY_AFTER = 1000;
export const RETRY_OUT_OF_SUBNETS = 10_000;

/**
 * Looks after the lease. While the host has no subnet, everything waits for one. Once it has, this goes on beside the
 * daemon's rounds: an etcd that does not answer keeps no repair waiting.
 */
export class LeaseMinder {
  readonly #options: LeaseMinderOptions;
  #working: Promise<void> | undefined;
  /** After a failure the lease is left alone until then. */
  #retryAt = Number.NEGATIVE_INFINITY;

  constructor(options: LeaseMinderOptions) {
    this.#options = options;
  }

  /**
   * @returns when it is to be called again at the latest, monotonic milliseconds
   * @throws CorduroyError as LeaseKeeper.ensure does, where there is no subnet to go on with
   */
  async ensure(wanted: Wanted): Promise<number> {
    const { leases, now, wake } = this.#options;
    if (!leases.isInUse) {
      await this.#ask(wanted);
      return leases.dueAt(wanted);
    }
    const dueAt = Math.max(leases.dueAt(wanted), this.#retryAt);
    if (dueAt > now() && this.#working === undefined) return dueAt;
    this.#working ??= this.#tryToAsk(wanted).finally(() => {
      this.#working = undefined;
      wake();
    });
    return Number.POSITIVE_INFINITY;
  }

  /** Resolves when nothing is being asked any more. */
  async idle(): Promise<void> {
    await this.#working;
  }

  async #ask(wanted: Wanted): Promise<void> {
    const { leases, view, problems } = this.#options;
    // The watch keeps the view up to date, unless it is broken.
    const seen = view.fault === undefined ? view.cluster : undefined;
    await problems.run('lease', () => leases.ensure(wanted, seen));
    // What came while etcd was asked.
    leases.observe(view.cluster, view.revision);
    await leases.answerChallenges(view.cluster);
  }

  async #tryToAsk(wanted: Wanted): Promise<void> {
    try {
      await this.#ask(wanted);
    } catch (error) {
      const pause = isCode(error, 'out-of-subnets') ? RETRY_OUT_OF_SUBNETS : RETRY_AFTER;
      this.#retryAt = this.#options.now() + pause; // Said by the problem that it has become.
    }
  }
}
