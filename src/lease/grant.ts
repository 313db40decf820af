import { isCode } from '../errors.ts';
import type { GrantedLease, Store } from '../store/store.ts';

/** An etcd lease that is granted when first needed, serves every round, and is revoked if no key came to use it. */
export class Grant {
  #used = false;
  readonly #store: Store;
  readonly #ttl: number;
  #granted: GrantedLease | undefined;

  /** @param ttl seconds */
  constructor(store: Store, ttl: number) {
    this.#store = store;
    this.#ttl = ttl;
  }

  async get(): Promise<GrantedLease> {
    this.#granted ??= await this.#store.grantLease(this.#ttl);
    return this.#granted;
  }

  /** Runs a transaction that binds keys to it. Without an answer, they may have been bound. */
  async usedBy<T extends { readonly succeeded: boolean }>(transaction: () => Promise<T>): Promise<T> {
    this.#used = true;
    try {
      const result = await transaction();
      this.#used = result.succeeded;
      return result;
    } catch (error) {
      this.#used = isCode(error, 'store-unavailable');
      throw error;
    }
  }

  /** Failing here is no failure: an unused etcd lease expires by itself. */
  async revokeIfUnused(): Promise<void> {
    if (this.#granted !== undefined && !this.#used)
      await this.#store.revokeLease(this.#granted.id).catch(() => undefined);
  }
}
