import type { Entry, Store } from '../store/store.ts';
import { corduroyFolder, type NodeId } from './node-record.ts';

/**
 * Does a node live? Its lease lasts for a day, and says nothing. So whoever needs to know writes a question, and a node
 * that lives, and follows etcd, deletes it:
 *
 *     key    {prefix}/corduroy/challenges/{node id}/{who asks}
 *     value  empty; bound to a short etcd lease, so that none stays behind
 */
export function challengesFolder(prefix: string): string {
  return `${corduroyFolder(prefix)}challenges/`;
}

/** Seconds the question stays. */
const CHALLENGE_TTL = 30;
/** Milliseconds a node has to answer: a watch that has broken may pause for 5 s, and take as long to stand again. */
const PATIENCE = 15_000;
const POLL = 100;

export interface ChallengeContext {
  readonly store: Store;
  readonly prefix: string;
  /** A text of one's own, not to be mistaken for another asker's. */
  readonly asker: string;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
}

/** @throws CorduroyError the store's */
export async function isAlive(
  { store, prefix, asker, now, sleep }: ChallengeContext,
  node: NodeId,
): Promise<boolean> {
  const key = `${challengesFolder(prefix)}${node}/${asker}`;
  const { id } = await store.grantLease(CHALLENGE_TTL);
  try {
    await store.transaction([], [{ do: 'put', key, value: '', leaseId: id }]);
    const deadline = now() + PATIENCE;
    while (now() < deadline) {
      await sleep(POLL);
      if ((await store.get(key)) === undefined) return true;
    }
    return false;
  } finally {
    await store.revokeLease(id).catch(() => undefined);
  }
}

/** The questions that are put to this node by others. */
export function challengesTo(
  challenges: ReadonlyMap<string, Entry>,
  { prefix, node, asker }: { readonly prefix: string; readonly node: NodeId; readonly asker: string },
): Entry[] {
  const folder = `${challengesFolder(prefix)}${node}/`;
  return [...challenges.values()].filter(({ key }) => key.startsWith(folder) && key !== folder + asker);
}

/** Says "I live". A question that is gone already was answered or given up. */
export async function answer(store: Store, { key, modRevision }: Entry): Promise<void> {
  await store.transaction([{ key, is: 'unchanged', modRevision }], [{ do: 'delete', key }]);
}
