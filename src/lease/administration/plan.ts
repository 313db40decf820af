import { CorduroyError } from '../../errors.ts';
import type { Condition, Operation, Store } from '../../store/store.ts';

/** What an operator's command makes of a subnet's key. */
export type Action =
  | 'reserved'
  /** A lease became a reservation for whoever holds it. */
  | 'pinned'
  /** A reservation in use became a lease. */
  | 'released'
  /** A reservation that was not in use is gone. */
  | 'freed'
  | 'revoked'
  | 'nothing';

/** What a command has decided, and says once it is done. */
export interface Plan {
  readonly action: Action;
  readonly key: string;
  /** All that the decision rests on; none when there is nothing to do. */
  readonly conditions: readonly Condition[];
  readonly operations: readonly Operation[];
  /** One sentence. */
  readonly says: string;
  /** What the operator should know beside it, a sentence each. */
  readonly notes: readonly string[];
}

export function nothingToDo(key: string, says: string, notes: readonly string[] = []): Plan {
  return { action: 'nothing', key, conditions: [], operations: [], says, notes };
}

/**
 * Carries a plan out, as a whole or not at all.
 * @throws CorduroyError `conflict` when what it rests on has changed meanwhile, or the store's
 */
export async function carryOut(store: Store, plan: Plan): Promise<Plan> {
  if (plan.operations.length === 0) return plan;
  const { succeeded } = await store.transaction(plan.conditions, plan.operations);
  if (!succeeded) {
    throw new CorduroyError(
      'conflict',
      `${plan.key} or what belongs to it was changed by somebody else at the same moment: nothing was written. ` +
        'Look at it with corduroy leases list, and run the command again',
      { retryable: true },
    );
  }
  return plan;
}

/** The command would take something from somebody: what stands against it, and what to do. */
export function refused(text: string): CorduroyError {
  return new CorduroyError('conflict', text);
}
