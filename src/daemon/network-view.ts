import type { BackendDesign } from '../backend/backend.ts';
import { checkBackend } from '../backend/registry.ts';
import {
  formatProblem,
  type NetworkConfig,
  networkConfigKey,
  parseNetworkConfig,
} from '../config/network-config.ts';
import { Cluster } from '../lease/cluster.ts';
import { forcedConfigKey, isForcedConfig } from '../lease/forced-config.ts';
import { LeaseTable } from '../lease/lease-table.ts';
import type { Change, Entry, Listing, Revision, WatchEvent } from '../store/store.ts';
import type { RememberedNetwork } from './network-memory.ts';

/** A network config that can be carried out. */
export interface UsableConfig {
  readonly network: NetworkConfig;
  readonly backend: BackendDesign;
  readonly revision: Revision;
  /** As it stands in etcd, or stood. */
  readonly entry: Entry;
}

/** What etcd says, as of the last event: the network config, the leases, and what hosts say beside them. */
export class NetworkView {
  readonly configKey: string;
  readonly cluster: Cluster;
  /** Of the store, as of the last event. */
  revision: Revision = 0n;
  /** False until the first snapshot, from etcd or from disk. */
  complete = false;
  /** When what is seen here was read from etcd, while etcd has not answered since the daemon started. */
  remembered: Date | undefined;
  /** Why the watch is interrupted, or `undefined` while it is not. */
  fault: Error | undefined;
  readonly #prefix: string;
  readonly #forcedKey: string;
  #former: LeaseTable | undefined;
  /** The revision that etcd went back to. */
  #restoredAt: Revision = 0n;
  #configEntry: Entry | undefined;
  #config: ConfigReading = {
    usable: undefined,
    objection: 'there is none',
    unknownKeys: [],
    isForced: false,
  };

  constructor(prefix: string) {
    this.configKey = networkConfigKey(prefix);
    this.#prefix = prefix;
    this.#forcedKey = forcedConfigKey(prefix);
    this.cluster = new Cluster(prefix);
  }

  get config(): ConfigReading {
    return this.#config;
  }

  /** @returns whether etcd has gone back in time */
  apply(event: WatchEvent): boolean {
    let wentBack = false;
    switch (event.kind) {
      case 'interrupted':
        this.fault = event.error;
        return false;
      case 'snapshot':
        wentBack = event.revision < this.revision;
        if (wentBack) this.holdOnTo(this.cluster.entries(), event);
        else this.#former?.apply(this.#writtenSince(event.entries));
        this.#replace(event.entries);
        this.remembered = undefined;
        break;
      case 'delta':
        this.#former?.apply(event.changes.filter((change) => this.#concernsFormer(change)));
        this.cluster.apply(event.changes);
        if (event.changes.some((change) => [this.configKey, this.#forcedKey].includes(keyOf(change))))
          this.#readConfig();
        break;
    }
    this.revision = event.revision;
    this.fault = undefined;
    return wentBack;
  }

  /** The leases that packets are sent by: those in etcd; for a moment after a restored backup, the newer ones known. */
  get peerLeases(): LeaseTable {
    return this.#former ?? this.cluster.leases;
  }

  /**
   * A backup shows where hosts were, and what was known before shows where they are. That goes on to count, key by key,
   * until a host has written its own again, or `letGo`.
   *
   * @param newer as known before
   * @param restored as etcd has it now
   */
  holdOnTo(newer: readonly Entry[], restored: Pick<Listing, 'entries' | 'revision'>): void {
    const known = this.#former === undefined ? newer : this.#former.entries();
    const entries = new Map([...restored.entries, ...known].map((entry) => [entry.key, entry]));
    this.#former = new LeaseTable(this.#prefix, [...entries.values()]);
    this.#restoredAt = restored.revision;
  }

  /** What etcd says counts, and nothing else. */
  letGo(): void {
    this.#former = undefined;
  }

  /** Takes what was read from disk for what etcd says, until etcd does. */
  restore({ entries, revision, savedAt }: RememberedNetwork): void {
    this.#replace(entries);
    this.revision = revision;
    this.remembered = savedAt;
  }

  #replace(entries: readonly Entry[]): void {
    this.cluster.replace(entries);
    this.#readConfig();
    this.complete = true;
  }

  /** A lease that a host deletes may be an old one of its own, where another's newer one was known: that one stays. */
  #concernsFormer(change: Change): boolean {
    if (change.kind === 'put') return true;
    const known = this.#former?.get(change.key)?.entry.modRevision;
    return known === this.cluster.entry(change.key)?.modRevision;
  }

  /** What hosts have written since etcd was restored. */
  #writtenSince(entries: readonly Entry[]): Change[] {
    return entries
      .filter(({ modRevision }) => modRevision > this.#restoredAt)
      .map((entry) => ({ kind: 'put', entry }));
  }

  #readConfig(): void {
    const entry = this.cluster.entry(this.configKey);
    this.#setConfig(entry);
    const isForced = isForcedConfig(entry, this.cluster.entry(this.#forcedKey));
    this.#config = { ...this.#config, isForced };
  }

  #setConfig(entry: Entry | undefined): void {
    const known = this.#configEntry;
    // Also by value: a store restored from a backup counts its revisions again.
    if (entry !== undefined && entry.modRevision === known?.modRevision && entry.value === known.value)
      return;
    this.#configEntry = entry;
    this.#config = { ...readConfig(this.configKey, entry), isForced: false };
  }
}

export interface ConfigReading {
  readonly usable: UsableConfig | undefined;
  /** Why it cannot be used: a sentence that says what to do. */
  readonly objection: string | undefined;
  readonly unknownKeys: readonly string[];
  /** Whether hosts are to take it up even where it takes their subnets away. */
  readonly isForced: boolean;
}

export function readConfig(key: string, entry: Entry | undefined): Omit<ConfigReading, 'isForced'> {
  if (entry === undefined) {
    const command = `corduroy config set '{"Network": "10.5.0.0/16"}'`;
    return {
      usable: undefined,
      objection: `there is no network config under ${key}: write one with: ${command}`,
      unknownKeys: [],
    };
  }
  const { value: network, problems, unknownKeys } = parseNetworkConfig(entry.value);
  if (network === undefined) return rejected(key, problems.map(formatProblem), unknownKeys);
  const backend = checkBackend(network);
  const allUnknown = [...unknownKeys, ...backend.unknownKeys];
  if (backend.value === undefined) return rejected(key, backend.problems.map(formatProblem), allUnknown);
  return {
    usable: { network, backend: backend.value, revision: entry.modRevision, entry },
    objection: undefined,
    unknownKeys: allUnknown,
  };
}

function rejected(
  key: string,
  problems: readonly string[],
  unknownKeys: readonly string[],
): Omit<ConfigReading, 'isForced'> {
  const objection = `the network config under ${key} is not valid: ${problems.join('; ')}. Mend it with: corduroy config set`;
  return { usable: undefined, objection, unknownKeys };
}

function keyOf(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}
