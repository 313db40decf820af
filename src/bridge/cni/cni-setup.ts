import type { FlagValues } from '../../config/flags.ts';
import { CorduroyError } from '../../errors.ts';
import { formatInterfaceAddress } from '../../host/state.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Log } from '../../observe/log.ts';
import type { ContainerSetup } from '../container-setup.ts';
import type { SubnetEnv } from '../subnet-env.ts';
import { type ReadAddresses, readAddresses, requireNotForeign, staleAddress } from './bridge-address.ts';
import { formatConflist } from './conflist.ts';
import { keepConflist } from './conflist-file.ts';
import { type CniSettings, cniSettings, requireSubnetForCni } from './settings.ts';

/** Milliseconds for which a bridge is taken to be as it was found to be right. */
const TRUST_BRIDGE = 30_000;

export interface CniParts {
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly readAddresses: ReadAddresses;
}

/** Keeps the conflist of `--cni-conflist` in step with the lease, and looks at the bridge that the plugins made by it. */
export class CniSetup implements ContainerSetup {
  readonly name = 'cni';
  readonly #settings: CniSettings;
  readonly #parts: CniParts;
  /** The subnets that the bridge was right for, and when. */
  #right = { subnets: '', at: Number.NEGATIVE_INFINITY };

  /** @throws CorduroyError `usage` when the settings give the subnet to another bridge, too */
  constructor(flags: FlagValues, log: Log, parts: Partial<CniParts> = {}) {
    requireSubnetForCni(flags);
    this.#settings = cniSettings(flags);
    this.#parts = { log, now: () => performance.now(), readAddresses, ...parts };
  }

  async ensure({ families, mtu }: SubnetEnv): Promise<void> {
    const subnets = families.map(({ subnet }) => subnet);
    if (keepConflist(this.#settings, formatConflist({ ...this.#settings, subnets, mtu }))) {
      this.#parts.log.info(`wrote ${this.#settings.conflist}: ${subnets.join(' and ')}, MTU ${mtu}`);
    }
    const networks = families.map(({ network }) => network);
    if (!this.#settings.bridgeIsManaged) await this.#checkBridge(networks, subnets);
  }

  async #checkBridge(networks: readonly Prefix[], subnets: readonly Prefix[]): Promise<void> {
    const { bridge } = this.#settings;
    const text = subnets.join(' ');
    const { now } = this.#parts;
    if (this.#right.subnets === text && now() - this.#right.at < TRUST_BRIDGE) return;
    const addresses = await this.#parts.readAddresses(bridge);
    const stale = staleAddress(addresses, subnets);
    if (stale !== undefined) {
      requireNotForeign(this.#settings, addresses, networks);
      throw new CorduroyError(
        'foreign-object',
        `the bridge ${bridge} has ${formatInterfaceAddress(stale)} from before, and this host's subnet is ${subnets.join(' and ')}: its containers ` +
          `are not reached, and no other can be started. Stop them, then: ip link delete ${bridge}`,
      );
    }
    this.#right = { subnets: text, at: now() };
  }
}
