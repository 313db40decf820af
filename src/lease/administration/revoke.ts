import type { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import { type ChallengeContext, isAlive } from '../challenge.ts';
import { leaseKey } from '../lease-record.ts';
import type { RejectedLease, StoredLease } from '../lease-table.ts';
import type { StoredNode } from '../node-table.ts';
import { carryOut, nothingToDo, type Plan, refused } from './plan.ts';
import { findLease, holderText, nearMisses, readSnapshot, type Snapshot } from './snapshot.ts';

/**
 * Takes a lease away from a host that is gone. One that lives would take it again at once, so it is asked first.
 * @param force without asking
 * @throws CorduroyError `conflict`, or the store's
 */
export async function revoke(
  context: ChallengeContext,
  subnets: readonly Prefix[],
  force: boolean,
): Promise<Plan> {
  const snapshot = await readSnapshot(context.store, context.prefix);
  const { ask, plan } = decideRevoke(snapshot, subnets, force);
  if (ask !== undefined && (await isAlive(context, ask.nodeId))) {
    throw refused(
      `${subnets.join(' and ')} is leased by ${ask.hostName} (${ask.publicIp ?? ask.publicIpv6 ?? 'no address'}), which lives and would take ` +
        'it again at once. Stop it there with corduroy down --release, or add --force',
    );
  }
  return await carryOut(context.store, plan);
}

/** What to do, and the node that has to be asked first: the plan holds if it does not answer. */
interface Revocation {
  readonly ask?: StoredNode;
  readonly plan: Plan;
}

function decideRevoke(snapshot: Snapshot, subnets: readonly Prefix[], force: boolean): Revocation {
  const found = findLease(snapshot, subnets);
  if (found === undefined) {
    const says = `${subnets.join(' and ')} is not leased: there is nothing to do`;
    const key = leaseKey(snapshot.prefix, subnets);
    return { plan: nothingToDo(key, says, nearMisses(snapshot, subnets)) };
  }
  if (found.subnets === undefined) return { plan: revokeUnreadable(snapshot, found, force) };
  if (found.entry.leaseId === undefined) {
    throw refused(
      `${found.subnets.join(' and ')} is no lease but a reservation. End it with: ` +
        `corduroy leases release ${subnets.join(' ')}`,
    );
  }
  return revokeLease(snapshot, found, force);
}

function revokeLease(snapshot: Snapshot, lease: StoredLease, force: boolean): Revocation {
  const text = lease.subnets.join(' and ');
  const who = holderText(snapshot, lease);
  const node = snapshot.cluster.nodes.holderOf(lease);
  if (node === undefined) {
    if (!force)
      throw refused(
        `${text} is leased by ${who}, and such a host cannot be asked whether it lives. ${IF_GONE}`,
      );
    return { plan: deletion(snapshot, [lease.entry.key], `the lease of ${text}, which was of ${who}`) };
  }
  const keys = [lease.entry.key, node.entry.key] as const;
  const plan = deletion(snapshot, keys, `the lease of ${text}, which was of ${who}`);
  const note = `${node.hostName} was not asked whether it lives: if it does, it takes the lease again at once`;
  return force ? { plan: { ...plan, notes: [note] } } : { ask: node, plan };
}

/** Whoever wrote it, such a key keeps its subnet from being leased. */
function revokeUnreadable(snapshot: Snapshot, { entry, reason }: RejectedLease, force: boolean): Plan {
  const key = printable(entry.key);
  if (force) return deletion(snapshot, [entry.key], `${key}, which could not be read: ${reason}`);
  throw refused(`${key} cannot be read, so nobody can be asked whether it is in use: ${reason}. ${IF_GONE}`);
}

const IF_GONE = 'If you know that nobody uses it, add --force';

/** @param keys the first is the lease's */
function deletion(snapshot: Snapshot, keys: readonly [string, ...string[]], what: string): Plan {
  return {
    action: 'revoked',
    key: keys[0],
    conditions: keys.map((key) => snapshot.cluster.asSeen(key)),
    operations: keys.map((key) => ({ do: 'delete', key })),
    says: `deleted ${what}`,
    notes: [],
  };
}
