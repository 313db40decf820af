import type { SubnetRange } from '../config/network-config.ts';
import type { ExternalInterface } from '../host/state.ts';
import { fitsRanges } from '../lease/decide.ts';
import type { Prefix } from '../net/prefix.ts';
import type { LastingProblem, Log } from '../observe/log.ts';
import { addressInside } from './interface-keeper.ts';
import type { ConfigReading, UsableConfig } from './network-view.ts';

/** Chooses the network config to go by: the newest that can be used and leaves this host its subnet, or the one in use. */
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
    { usable, objection, unknownKeys }: ConfigReading,
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
    const fits = (ranges: readonly SubnetRange[]) => fitsRanges(subnets, ranges);
    if (inUse !== undefined && fits(inUse.network.ranges) && !fits(usable.network.ranges)) {
      this.#problem.raise(
        `the network config has changed, and this host's subnet ${subnets.join(' and ')} does not fit it. Going on with the one ` +
          'before; to lease another subnet, restart corduroyd, and then the containers',
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
