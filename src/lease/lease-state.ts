/**
 * The life of this host's lease. Whatever state it is in, the host goes on using the subnet it has: states say what etcd
 * says of it, not whether packets flow. docs/leases.md has the same in prose and as a picture.
 */
export type LeaseStateName =
  /** No subnet is in use: one is being leased. */
  | 'acquiring'
  /** etcd has the lease under this host's name, and it is not due. */
  | 'held'
  /** It is due, and etcd has not answered yet. */
  | 'renewing'
  /** The subnet is in use, and etcd has not confirmed it for so long that it may have ended, or never since the start. */
  | 'at-risk'
  /** etcd says that the lease is gone; it is taken again. */
  | 'lost'
  /** etcd says that the subnet is another host's. */
  | 'conflicted';

export type LeaseEvent =
  /** A compare-and-swap, or a look, has shown that etcd has the lease under this host's name. */
  | 'acquired'
  /** The network was restored from disk: etcd has not answered since the start. */
  | 'remembered'
  | 'due'
  | 'renewed'
  /** Half of the time between `due` and the end has passed without an answer. */
  | 'unanswered'
  /** What was known of the lease proves nothing any more: etcd went back in time, or the key was rewritten. */
  | 'doubted'
  /** Deleted, or expired. */
  | 'gone'
  /** Written over with another host's address, or leased by another host after it was gone. */
  | 'taken'
  | 'released';

export const LEASE_STATES: Readonly<
  Record<LeaseStateName, Partial<Readonly<Record<LeaseEvent, LeaseStateName>>>>
> = {
  acquiring: { acquired: 'held', remembered: 'at-risk' },
  held: { due: 'renewing', doubted: 'at-risk', gone: 'lost', taken: 'conflicted', released: 'acquiring' },
  renewing: {
    renewed: 'held',
    unanswered: 'at-risk',
    doubted: 'at-risk',
    gone: 'lost',
    taken: 'conflicted',
    released: 'acquiring',
  },
  'at-risk': {
    acquired: 'held',
    renewed: 'held',
    gone: 'lost',
    taken: 'conflicted',
    released: 'acquiring',
  },
  lost: { acquired: 'held', taken: 'conflicted' },
  conflicted: { acquired: 'held', gone: 'lost' },
};

/** An event that means nothing in a state leaves it as it is. */
export function nextLeaseState(state: LeaseStateName, event: LeaseEvent): LeaseStateName {
  return LEASE_STATES[state][event] ?? state;
}
