import { messageOf } from '../errors.ts';
import type { LeaseKeeper } from '../lease/lease-keeper.ts';
import type { LastingProblem, Log } from '../observe/log.ts';
import type { Store } from '../store/store.ts';
import type { NetworkView } from './network-view.ts';

/** Milliseconds to the next try to say that this machine lives. */
const RETRY_AFTER = 1000;

export interface Following {
  readonly store: Store;
  readonly prefix: string;
  readonly view: NetworkView;
  readonly leases: LeaseKeeper;
  readonly problem: LastingProblem;
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly log: Log;
  /** Called after every event. */
  readonly onEvent: () => void;
}

/**
 * Follows everything under the prefix: into the view, and past the lease keeper, which compares it with what it holds.
 * Ends when the signal aborts. @throws what ends the watch otherwise: a defect
 */
export async function followEtcd(following: Following, signal: AbortSignal): Promise<void> {
  const { store, prefix, view, leases, problem, onEvent } = following;
  for await (const event of store.watch(`${prefix}/`, signal)) {
    const wentBack = view.apply(event);
    if (event.kind === 'interrupted') {
      problem.raise(`${event.error.message}. Trying again`);
    } else {
      problem.clear('etcd answers again');
      // Revisions only grow, unless etcd was restored from a backup: then what is held proves nothing.
      if (wentBack) leases.doubt();
      else if (event.kind === 'snapshot') leases.compare(event.revision);
      leases.observe(view.cluster, view.revision);
      answer(following);
    }
    onEvent();
  }
}

/** Nobody may take a host for dead because one answer was lost. */
function answer(following: Following): void {
  const { leases, view, log, sleep } = following;
  leases.answerChallenges(view.cluster).catch(async (error: unknown) => {
    log.warn(`could not answer whether this machine lives, trying again: ${messageOf(error)}`);
    await sleep(RETRY_AFTER);
    answer(following);
  });
}
