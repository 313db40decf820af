import { sameSubnets } from '../lease/decide.ts';
import type { LeaseKeeper } from '../lease/lease-keeper.ts';
import type { StoredLease } from '../lease/lease-table.ts';
import type { NodeId } from '../lease/node-record.ts';
import type { Log } from '../observe/log.ts';
import type { MemoryKeeper } from './memory-keeper.ts';
import type { RememberedNetwork } from './network-memory.ts';
import { type NetworkView, readConfig, type UsableConfig } from './network-view.ts';

export interface RecallOptions {
  readonly memory: MemoryKeeper;
  readonly view: NetworkView;
  readonly leases: LeaseKeeper;
  readonly nodeId: NodeId;
  readonly log: Log;
}

/** What a daemon does with what the one before it remembered. */
export class Recall {
  readonly #options: RecallOptions;
  #config: UsableConfig | undefined;

  constructor(options: RecallOptions) {
    this.#options = options;
  }

  /** A start without etcd. @returns whether the network is known now */
  restore(hardware: string): boolean {
    const { memory, view, leases, log } = this.#options;
    if (view.complete) return true;
    const network = memory.recall(hardware);
    if (network === undefined) return false;
    view.restore(network);
    leases.recall(network.subnets);
    leases.remember();
    log.warn(
      `etcd does not answer: setting up the network as it was at ${network.savedAt.toISOString()}, with ` +
        `${network.subnets.join(' and ')} for this host`,
    );
    return true;
  }

  /**
   * A start with etcd: containers have addresses of the subnet that was in use, whatever subnet.env says.
   * @returns the network config that it was used by, while etcd has the lease; the same object with every call
   */
  apply(hardware: string): UsableConfig | undefined {
    const { memory, view, leases, nodeId } = this.#options;
    if (leases.isInUse) return this.#config;
    const network = memory.recall(hardware);
    const record = view.cluster.nodes.get(nodeId);
    if (network === undefined) return undefined;
    // A record that is newer knows better: the file could not be written for a while.
    if (record !== undefined && record.entry.modRevision > network.revision) return undefined;
    leases.recall(network.subnets);
    // A host whose lease has expired comes anew, and by what stands there now.
    const { leases: stored, nodes } = view.cluster;
    const isHeld = (lease: StoredLease) =>
      sameSubnets(lease.subnets, network.subnets) && nodes.holderOf(lease)?.nodeId === nodeId;
    if (stored.leases().some(isHeld)) this.#config ??= this.#read(network);
    if (view.revision >= network.revision) return this.#config;
    // etcd was restored from a backup since: what it says is to be met with the caution of a daemon that saw it.
    leases.doubt();
    leases.remember();
    view.holdOnTo(network.entries, { entries: view.cluster.entries(), revision: view.revision });
    return this.#config;
  }

  #read({ entries }: RememberedNetwork): UsableConfig | undefined {
    const { configKey } = this.#options.view;
    return readConfig(
      configKey,
      entries.find(({ key }) => key === configKey),
    ).usable;
  }
}
