import { release } from 'node:os';
import type { Backend } from '../backend/backend.ts';
import { describeNetwork } from '../config/network-config.ts';
import type { Options } from '../config/options.ts';
import type { ExternalInterface } from '../host/state.ts';
import { fitsRanges } from '../lease/decide.ts';
import type { LeaseKeeper } from '../lease/lease-keeper.ts';
import type { NodeId } from '../lease/node-record.ts';
import type { Log } from '../observe/log.ts';
import type { BackendKeeper } from './backend-keeper.ts';
import { datapathWishes } from './datapath-wishes.ts';
import type { UsableConfig } from './network-view.ts';
import type { Problems } from './problems.ts';

export interface ConfigKeeperOptions {
  readonly options: Options;
  readonly nodeId: NodeId;
  readonly leases: LeaseKeeper;
  readonly backends: BackendKeeper;
  readonly problems: Problems;
  readonly log: Log;
}

/** What a round goes by. */
export interface Course {
  readonly config: UsableConfig;
  /** That config's. */
  readonly backend: Backend;
  /** Whose subnets the lease should have. */
  readonly next: UsableConfig;
}

/**
 * Keeps the network config that the host goes by. A new one that its subnets do not fit is gone by only once they are
 * changed, in etcd, and they are changed only if its backend can be opened: until then the one before goes on with its
 * repairs, and nobody uses a subnet that is not his.
 */
export class ConfigKeeper {
  readonly #options: ConfigKeeperOptions;
  #current: UsableConfig | undefined;

  constructor(options: ConfigKeeperOptions) {
    this.#options = options;
  }

  /** What the host was last brought about for. */
  get current(): UsableConfig | undefined {
    return this.#current;
  }

  /** The config to go by while another one is chosen. */
  fitting(chosen: UsableConfig): UsableConfig {
    const current = this.#current;
    return current !== undefined && this.#isInUseBy(current) && !this.#fits(chosen) ? current : chosen;
  }

  /** @throws CorduroyError what keeps the backend from being opened, where there is no other to go on with */
  async open(chosen: UsableConfig, iface: ExternalInterface): Promise<Course> {
    const { backends, problems } = this.#options;
    const fitting = this.fitting(chosen);
    const context = this.#contextOf(iface);
    if (fitting !== chosen) {
      const backend = await backends.ensure(fitting, context);
      const canOpen = await problems.attempt('backend', () => backends.rehearse(chosen, context));
      return { config: fitting, backend, next: canOpen ? chosen : fitting };
    }
    try {
      const backend = await problems.run('backend', () => backends.ensure(chosen, context));
      return { config: chosen, backend, next: chosen };
    } catch (error) {
      const current = this.#current;
      const backend = backends.current;
      if (current === undefined || backend === undefined || current === chosen || !this.#fits(current))
        throw error;
      return { config: current, backend, next: chosen };
    }
  }

  takeUp(config: UsableConfig): void {
    if (this.#current !== undefined && this.#current.network !== config.network)
      this.#options.log.info(`the network config has changed: ${describeNetwork(config.network)}`);
    this.#current = config;
  }

  #fits({ network }: UsableConfig): boolean {
    return fitsRanges(this.#options.leases.subnets, network.ranges);
  }

  #isInUseBy(config: UsableConfig): boolean {
    return this.#options.leases.isInUse && this.#fits(config);
  }

  #contextOf(iface: ExternalInterface) {
    const { options, nodeId } = this.#options;
    const datapath = datapathWishes(options.flags);
    return { iface, names: options.names.devices, nodeId, datapath, kernel: release() };
  }
}
