import type { ICompare, IEvent, IKeyValue, IRequestOp } from 'etcd3';
import type { Change, Condition, Entry, LeaseId, Operation, Revision } from '../store.ts';

/** Between our values and etcd's messages, in which every int64 is a decimal string and every key is bytes. */

/** A half-open range of keys, [key, range_end). */
export interface KeyRange {
  readonly key: Buffer;
  readonly range_end: Buffer;
}

/** In etcd, as the end of a range: no end. As its beginning: the first key of all. */
const NUL = Buffer.from([0]);

/**
 * The keys that begin with the prefix: up to, not including, the smallest byte string greater than all of them, which
 * is the prefix without trailing 0xff bytes and with its last byte one higher. All 0xff, or empty: no end.
 */
export function prefixRange(prefix: Buffer): KeyRange {
  const key = prefix.length === 0 ? NUL : prefix;
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] ?? 0xff;
    if (byte < 0xff)
      return { key, range_end: Buffer.concat([prefix.subarray(0, i), Buffer.from([byte + 1])]) };
  }
  return { key, range_end: NUL };
}

export function entryOf(kv: IKeyValue): Entry {
  return {
    key: kv.key.toString('utf8'),
    value: kv.value.toString('utf8'),
    createRevision: BigInt(kv.create_revision),
    modRevision: BigInt(kv.mod_revision),
    leaseId: kv.lease === '0' ? undefined : (kv.lease as LeaseId),
  };
}

function changeOf(event: IEvent): Change {
  if (event.type === 'Delete') {
    return { kind: 'delete', key: event.kv.key.toString('utf8'), modRevision: BigInt(event.kv.mod_revision) };
  }
  return { kind: 'put', entry: entryOf(event.kv) };
}

export interface RevisionChanges {
  readonly revision: Revision;
  readonly changes: readonly Change[];
}

/** The events of one watch response, which may span many revisions, by revision in ascending order. */
export function byRevision(events: readonly IEvent[]): RevisionChanges[] {
  const groups: { revision: Revision; changes: Change[] }[] = [];
  for (const event of events) {
    const revision = BigInt(event.kv.mod_revision);
    const last = groups.at(-1);
    if (last?.revision === revision) last.changes.push(changeOf(event));
    else groups.push({ revision, changes: [changeOf(event)] });
  }
  return groups;
}

/** A key that does not exist has create_revision 0. */
export function compareOf(condition: Condition): ICompare {
  const key = Buffer.from(condition.key);
  return condition.is === 'absent'
    ? { key, result: 'Equal', target: 'Create', create_revision: '0' }
    : { key, result: 'Equal', target: 'Mod', mod_revision: String(condition.modRevision) };
}

export function requestOf(operation: Operation): IRequestOp {
  const key = Buffer.from(operation.key);
  if (operation.do === 'delete') return { request_delete_range: { key } };
  return { request_put: { key, value: Buffer.from(operation.value), lease: operation.leaseId ?? '0' } };
}
