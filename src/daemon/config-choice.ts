import type { SubnetRange } from '../config/network-config.ts';
import type { ExternalInterface } from '../host/state.ts';
import { fitsRange } from '../ipam/pick-subnet.ts';
import type { Prefix } from '../net/prefix.ts';
import type { LastingProblem, Log } from '../observe/log.ts';
import { addressInside } from './interface-keeper.ts';
import type { ConfigReading, UsableConfig } from './network-view.ts';

/**
 * Chooses the network config to go by: the newest that can be used, and leaves this host the subnets that containers have
 * addresses of or was written by force; or the one in use.
 */
export class ConfigChoice {
  readonly #problem: LastingProblem;
  readonly #log: Log;
  #saidUnknownKeys = '';

  constructor(problem: LastingProblem, log: Log) {
    this.#problem = problem;
    this.#log = log;
  }

  /**
   * @param inUse what the host goes by now
   * @param subnets this host's
   * @param iface by which it reaches the others, if that is known
   */
  choose(
    { usable, objection, unknownKeys, isForced }: ConfigReading,
    inUse: UsableConfig | undefined,
    subnets: readonly Prefix[],
    iface: ExternalInterface | undefined,
  ): UsableConfig | undefined {
    this.#sayUnknown(unknownKeys.join(', '));
    if (usable === undefined) {
      const going = inUse === undefined ? '. Waiting for it' : '. Going on with the one before';
      this.#problem.raise(`${objection}${going}`);
      return inUse;
    }
    const lost = inUse === undefined ? [] : takenAway(subnets, inUse.network.ranges, usable.network.ranges);
    if (lost.length > 0 && !isForced) {
      this.#problem.raise(
        `the network config has changed, and this host's subnet ${lost.join(' and ')} does not fit it. Going on with the ` +
          'one before. To have every host lease one that fits, and then restart its containers: ' +
          'corduroy config get | corduroy config set --force -',
      );
      return inUse;
    }
    const inside = iface && addressInside(iface, usable.network.ranges);
    if (inUse !== undefined && inside !== undefined) {
      this.#problem.raise(
        `the network config has changed, and this host's address ${inside} lies inside the new Network. Going on with ` +
          'the one before; set a Network that no host has an address in: corduroy config set',
      );
      return inUse;
    }
    this.#problem.clear('the network config is valid now');
    return usable;
  }

  #sayUnknown(keys: string): void {
    if (keys !== '' && keys !== this.#saidUnknownKeys) {
      this.#log.warn(`the network config has keys that mean nothing here and are ignored: ${keys}`);
    }
    this.#saidUnknownKeys = keys;
  }
}

/** The subnets that fit the ranges before and none of those after: their length, place or family is another. */
function takenAway(
  subnets: readonly Prefix[],
  before: readonly SubnetRange[],
  after: readonly SubnetRange[],
): Prefix[] {
  const fits = (subnet: Prefix, ranges: readonly SubnetRange[]) =>
    ranges.some((range) => fitsRange(range, subnet));
  return subnets.filter((subnet) => fits(subnet, before) && !fits(subnet, after));
}
