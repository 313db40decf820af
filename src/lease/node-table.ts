import { messageOf } from '../errors.ts';
import { printable } from '../printable.ts';
import type { Change, Entry } from '../store/store.ts';
import { isOwn } from './lease-record.ts';
import type { StoredLease } from './lease-table.ts';
import { type NodeId, type NodeRecord, nodesFolder, parseNode } from './node-record.ts';

export interface StoredNode extends NodeRecord {
  readonly entry: Entry;
}

/** Everything under `{prefix}/corduroy/nodes/`, parsed once a change: which machine holds which lease. */
export class NodeTable {
  readonly #nodesFolder: string;
  readonly #nodes = new Map<string, StoredNode>();
  /** Nodes by the lease that they name; more than one while a record is stale. */
  readonly #byLease = new Map<string, StoredNode[]>();
  readonly #rejected = new Map<string, { readonly entry: Entry; readonly reason: string }>();

  constructor(prefix: string, entries: readonly Entry[] = []) {
    this.#nodesFolder = nodesFolder(prefix);
    this.replace(entries);
  }

  replace(entries: readonly Entry[]): void {
    this.#nodes.clear();
    this.#byLease.clear();
    this.#rejected.clear();
    for (const entry of entries) this.#put(entry);
  }

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'put') this.#put(change.entry);
      else this.#delete(change.key);
    }
  }

  nodes(): StoredNode[] {
    return [...this.#nodes.values()];
  }

  rejected(): { readonly entry: Entry; readonly reason: string }[] {
    return [...this.#rejected.values()];
  }

  get(id: NodeId): StoredNode | undefined {
    return this.#nodes.get(this.#nodesFolder + id);
  }

  /**
   * The machine that holds a lease: its record names it, and both hang on one etcd lease, which nobody else's write can
   * bring about. A reservation has none: its holder is whoever names it with the public address that it bears.
   * `undefined`: a flanneld's, or nobody's.
   */
  holderOf({ entry, attributes }: StoredLease): StoredNode | undefined {
    // No subnet has a slash in the key, and no two folders hold subnets of the same family first.
    const claims = this.#byLease.get(entry.key.slice(entry.key.lastIndexOf('/') + 1)) ?? [];
    return claims.find((node) =>
      entry.leaseId === undefined ? isOwn(attributes, node) : node.entry.leaseId === entry.leaseId,
    );
  }

  #put(entry: Entry): void {
    const { key } = entry;
    if (!key.startsWith(this.#nodesFolder)) return;
    this.#delete(key);
    try {
      const node = { entry, ...parseNode(key.slice(this.#nodesFolder.length), entry.value) };
      this.#nodes.set(key, node);
      this.#byLease.set(node.lease, [...(this.#byLease.get(node.lease) ?? []), node]);
    } catch (error) {
      this.#rejected.set(key, { entry, reason: printable(messageOf(error)) });
    }
  }

  #delete(key: string): void {
    this.#rejected.delete(key);
    const node = this.#nodes.get(key);
    if (node === undefined) return;
    this.#nodes.delete(key);
    const others = this.#byLease.get(node.lease)?.filter((one) => one !== node) ?? [];
    if (others.length > 0) this.#byLease.set(node.lease, others);
    else this.#byLease.delete(node.lease);
  }
}
