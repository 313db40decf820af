import type { Prefix } from '../net/prefix.ts';
import type { LastingProblem, Log } from '../observe/log.ts';
import type { Entry } from '../store/store.ts';
import { NetworkMemory, objectionTo, type RememberedNetwork, readNetworkMemory } from './network-memory.ts';
import type { NetworkView } from './network-view.ts';

export interface MemoryKeeperOptions {
  readonly path: string;
  readonly nodeId: string;
  readonly prefix: string;
  readonly problem: LastingProblem;
  readonly log: Log;
}

/** Remembers the network for a daemon that starts without etcd: reads once, writes what has changed. */
export class MemoryKeeper {
  readonly #options: MemoryKeeperOptions;
  readonly #memory: NetworkMemory;
  #read: ReturnType<typeof readNetworkMemory> | undefined;
  #complaint: string | undefined;
  #saved = '';

  constructor(options: MemoryKeeperOptions) {
    const { path, problem } = options;
    this.#options = options;
    this.#memory = new NetworkMemory({
      path,
      onFailure: (text) => problem.raise(text),
      onSuccess: () => problem.clear(`${path} can be written again`),
    });
  }

  /** Whether a daemon has remembered anything here. */
  get isThere(): boolean {
    this.#read ??= readNetworkMemory(this.#options.path);
    return this.#read.network !== undefined || this.#read.problem !== undefined;
  }

  /** What the last daemon of this very machine remembered of this network; said aloud when it cannot be used. */
  recall(hardware: string): RememberedNetwork | undefined {
    const { path, nodeId, prefix, log } = this.#options;
    this.#read ??= readNetworkMemory(path);
    const { network, problem } = this.#read;
    // Another interface may be chosen later, and with it the machine be known again.
    const objection = network && objectionTo(network, { nodeId, hardware, prefix });
    const complaint = problem ?? (objection && `${path} ${objection}: it is not used`);
    if (complaint !== this.#complaint && complaint !== undefined) log.warn(complaint);
    this.#complaint = complaint;
    return complaint === undefined ? network : undefined;
  }

  /** Writes it if it is not what was written last. */
  save(seen: {
    readonly view: NetworkView;
    readonly subnets: readonly Prefix[];
    readonly hardware: string;
    /** The network config that is gone by: another one may stand in etcd. */
    readonly config: Entry;
  }): void {
    const { view, subnets, hardware, config } = seen;
    const { nodeId, prefix } = this.#options;
    const text = `${view.revision} ${config.modRevision} ${subnets.join(' ')} ${hardware}`;
    if (text === this.#saved) return;
    this.#saved = text;
    this.#memory.save(() => ({
      savedAt: new Date(),
      nodeId,
      hardware,
      prefix,
      revision: view.revision,
      subnets,
      entries: [...view.cluster.entries().filter(({ key }) => key !== config.key), config],
    }));
  }

  /** Resolves when the newest is written. */
  async close(): Promise<void> {
    await this.#memory.close();
  }
}
