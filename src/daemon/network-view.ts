import type { BackendFactory } from '../backend/backend.ts';
import { checkBackend } from '../backend/registry.ts';
import { formatProblem, type NetworkConfig, parseNetworkConfig } from '../config/network-config.ts';
import { LeaseTable } from '../lease/lease-table.ts';
import type { Entry, Revision, WatchEvent } from '../store/store.ts';

/** A network config that can be carried out. */
export interface UsableConfig {
  readonly network: NetworkConfig;
  readonly createBackend: BackendFactory;
  readonly revision: Revision;
}

/** What etcd says, as of the last event: the network config and the leases. */
export class NetworkView {
  readonly configKey: string;
  readonly leases: LeaseTable;
  /** Of the store, as of the last event. */
  revision: Revision = 0n;
  /** False until the first snapshot. */
  complete = false;
  /** Why the watch is interrupted, or `undefined` while it is not. */
  fault: Error | undefined;
  #configEntry: Entry | undefined;
  #config: ConfigReading = { usable: undefined, objection: 'there is none', unknownKeys: [] };

  constructor(prefix: string) {
    this.configKey = `${prefix}/config`;
    this.leases = new LeaseTable(prefix);
  }

  get config(): ConfigReading {
    return this.#config;
  }

  apply(event: WatchEvent): void {
    switch (event.kind) {
      case 'interrupted':
        this.fault = event.error;
        return;
      case 'snapshot':
        this.leases.replace(event.entries);
        this.#setConfig(event.entries.find(({ key }) => key === this.configKey));
        this.complete = true;
        break;
      case 'delta':
        this.leases.apply(event.changes);
        for (const change of event.changes) {
          if (change.kind === 'put' && change.entry.key === this.configKey) this.#setConfig(change.entry);
          if (change.kind === 'delete' && change.key === this.configKey) this.#setConfig(undefined);
        }
        break;
    }
    this.revision = event.revision;
    this.fault = undefined;
  }

  #setConfig(entry: Entry | undefined): void {
    if (entry !== undefined && entry.modRevision === this.#configEntry?.modRevision) return;
    this.#configEntry = entry;
    this.#config = readConfig(this.configKey, entry);
  }
}

export interface ConfigReading {
  readonly usable: UsableConfig | undefined;
  /** Why it cannot be used: a sentence that says what to do. */
  readonly objection: string | undefined;
  readonly unknownKeys: readonly string[];
}

function readConfig(key: string, entry: Entry | undefined): ConfigReading {
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
    usable: { network, createBackend: backend.value, revision: entry.modRevision },
    objection: undefined,
    unknownKeys: allUnknown,
  };
}

function rejected(key: string, problems: readonly string[], unknownKeys: readonly string[]): ConfigReading {
  const objection = `the network config under ${key} is not valid: ${problems.join('; ')}. Mend it with: corduroy config set`;
  return { usable: undefined, objection, unknownKeys };
}
