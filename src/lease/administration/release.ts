import type { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import type { Operation, Store } from '../../store/store.ts';
import { leaseKey } from '../lease-record.ts';
import { carryOut, nothingToDo, type Plan, refused } from './plan.ts';
import {
  findLease,
  holderText,
  nearMisses,
  readSnapshot,
  reservedFor,
  type Snapshot,
  sideKey,
} from './snapshot.ts';

/**
 * Ends a reservation. One in use becomes a lease like any other, without a moment in which the key is not there.
 * @throws CorduroyError `conflict`, or the store's
 */
export async function release(store: Store, prefix: string, subnets: readonly Prefix[]): Promise<Plan> {
  return await carryOut(store, decideRelease(await readSnapshot(store, prefix), subnets));
}

function decideRelease(snapshot: Snapshot, subnets: readonly Prefix[]): Plan {
  const found = findLease(snapshot, subnets);
  if (found === undefined) return leftover(snapshot, subnets);
  const { entry } = found;
  const words = subnets.join(' ');
  if (found.subnets === undefined) {
    throw refused(
      `${printable(entry.key)} cannot be read, and may be no reservation: ${found.reason}. ` +
        `Delete it with: corduroy leases revoke ${words} --force`,
    );
  }
  const text = found.subnets.join(' and ');
  if (entry.leaseId !== undefined) {
    throw refused(
      `${text} is no reservation: ${holderText(snapshot, found)} leases it. If that host is gone, take it away with: ` +
        `corduroy leases revoke ${words}`,
    );
  }
  const side = sideKey(snapshot, found.subnets);
  const node = snapshot.cluster.nodes.holderOf(found);
  const leaseId = node?.entry.leaseId;
  if (node === undefined || leaseId === undefined) {
    return {
      action: 'freed',
      key: entry.key,
      conditions: [snapshot.cluster.asSeen(entry.key), snapshot.cluster.asSeen(side)],
      operations: deletions(entry.key, side),
      says: `deleted the reservation of ${text}, which was for ${reservedFor(snapshot, found)}`,
      notes: [],
    };
  }
  return {
    action: 'released',
    key: entry.key,
    conditions: [entry.key, side, node.entry.key].map((key) => snapshot.cluster.asSeen(key)),
    operations: [
      { do: 'put', key: entry.key, value: entry.value, leaseId },
      { do: 'delete', key: side },
    ],
    says: `${text} is a lease like any other now, of ${holderText(snapshot, found)}, who goes on using it`,
    notes: [],
  };
}

/** There is no key; a side key that somebody left behind, deleting the other by hand, goes. */
function leftover(snapshot: Snapshot, subnets: readonly Prefix[]): Plan {
  const key = leaseKey(snapshot.prefix, subnets);
  const text = subnets.join(' and ');
  const side = sideKey(snapshot, subnets);
  if (snapshot.cluster.entry(side) === undefined) {
    return nothingToDo(
      key,
      `${text} is neither reserved nor leased: there is nothing to do`,
      nearMisses(snapshot, subnets),
    );
  }
  return {
    action: 'freed',
    key,
    conditions: [snapshot.cluster.asSeen(key), snapshot.cluster.asSeen(side)],
    operations: deletions(side),
    says: `deleted ${side}, which was left of a reservation of ${text}`,
    notes: [],
  };
}

function deletions(...keys: readonly string[]): Operation[] {
  return keys.map((key) => ({ do: 'delete', key }));
}
