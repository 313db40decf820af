import { MemoryStore } from '../../../src/store/memory.ts';
import type {
  Condition,
  GrantedLease,
  LeaseId,
  Operation,
  TransactionResult,
} from '../../../src/store/store.ts';

/** A store at whose calls a test can put something in: another host's write, a fault, time that passes. */
export class HookedStore extends MemoryStore {
  beforeTransaction: (() => Promise<void>) | undefined;
  /** Called when the transaction has been carried out, and before it is answered. */
  afterTransaction: (() => Promise<void>) | undefined;
  /** Called when the renewal has been carried out, and before it is answered. */
  afterKeepLease: (() => Promise<void>) | undefined;
  readonly granted: LeaseId[] = [];
  renewals = 0;

  override async transaction(
    conditions: readonly Condition[],
    operations: readonly Operation[],
  ): Promise<TransactionResult> {
    await this.beforeTransaction?.();
    const result = await super.transaction(conditions, operations);
    await this.afterTransaction?.();
    return result;
  }

  override async grantLease(ttl: number): Promise<GrantedLease> {
    const lease = await super.grantLease(ttl);
    this.granted.push(lease.id);
    return lease;
  }

  override async keepLease(id: LeaseId): Promise<number> {
    const ttl = await super.keepLease(id);
    this.renewals++;
    await this.afterKeepLease?.();
    return ttl;
  }

  /** The etcd leases that still exist. */
  async living(): Promise<LeaseId[]> {
    const infos = this.granted.map(async (id) => ((await this.hasLease(id)) ? [id] : []));
    return (await Promise.all(infos)).flat();
  }

  async hasLease(id: LeaseId): Promise<boolean> {
    return this.leaseInfo(id).then(
      () => true,
      () => false,
    );
  }
}
