import type { Prefix } from '../net/prefix.ts';
import type { LeaseId, Revision } from '../store/store.ts';
import type { LeaseAttributes } from './lease-record.ts';

/** The lease this host holds, as etcd has confirmed it. */
export interface HeldLease {
  readonly key: string;
  readonly subnets: readonly Prefix[];
  readonly attributes: LeaseAttributes;
  /** The fence: every later write of the key demands that it is still of this revision. */
  readonly modRevision: Revision;
  /** This machine's record beside it, as it was written. */
  readonly node: { readonly value: string; readonly modRevision: Revision };
  /** The key hangs on no etcd lease and never expires; the record does. */
  readonly reserved: boolean;
  readonly session: Session;
}

/** The etcd lease that the record hangs on, and the key unless it is a reservation. Times in monotonic milliseconds. */
export interface Session {
  readonly id: LeaseId;
  readonly expiresAt: number;
  readonly renewAt: number;
}

/** A margin that is too long for the time to live is cut to this share of it. */
const SHARE_OF_TTL = 2 / 3;

/**
 * @param ttl seconds that etcd granted
 * @param margin seconds before the end at which to renew
 * @param asked before the question was sent, so that the host never believes in its lease longer than etcd does
 */
export function sessionOf(id: LeaseId, ttl: number, margin: number, asked: number): Session {
  const early = Math.min(margin, ttl * SHARE_OF_TTL);
  return { id, expiresAt: asked + ttl * 1000, renewAt: asked + (ttl - early) * 1000 };
}

/** From when on a renewal without an answer is a risk: half of the time that was left for it has passed. */
export function atRiskFrom(dueSince: number, expiresAt: number): number {
  return (dueSince + expiresAt) / 2;
}
