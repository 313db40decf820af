import type { Backend } from '../backend/backend.ts';
import { publicAddresses } from '../backend/own-addresses.ts';
import { familiesOf } from '../config/network-config.ts';
import { isCode } from '../errors.ts';
import { type ExternalInterface, outerAddress } from '../host/state.ts';
import type { Wanted } from '../lease/acquire.ts';
import type { LeaseKeeper } from '../lease/lease-keeper.ts';
import type { NodeId } from '../lease/node-record.ts';
import type { NetworkView, UsableConfig } from './network-view.ts';
import type { Problems } from './problems.ts';

export interface LeaseMinderOptions {
  readonly leases: LeaseKeeper;
  readonly view: NetworkView;
  readonly nodeId: NodeId;
  readonly problems: Problems;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Starts a round of the daemon. */
  readonly wake: () => void;
}

type Said = Pick<Wanted, 'attributes' | 'capabilities'>;

/** Milliseconds to the next try. */
const RETRY_AFTER = 1000;
export const RETRY_OUT_OF_SUBNETS = 10_000;
const RETRY_NOT_UNIQUE = 30_000;

/**
 * Looks after the lease. While the host has no subnet, everything waits for one. Once it has, this goes on beside the
 * daemon's rounds: an etcd that does not answer keeps no repair waiting.
 */
export class LeaseMinder {
  readonly #options: LeaseMinderOptions;
  #working: Promise<void> | undefined;
  #said: Said | undefined;
  #failure: unknown;
  /** After a failure the lease is left alone until then. */
  #retryAt = Number.NEGATIVE_INFINITY;

  constructor(options: LeaseMinderOptions) {
    this.#options = options;
  }

  /**
   * @param stands whether the host is what it should be: what a lease says of the backend, it says only then. Others would
   *   send by one that is not there, and take this host for one that has followed a change
   * @returns when it is to be called again at the latest, monotonic milliseconds
   * @throws CorduroyError as LeaseKeeper.ensure does, where there is no subnet to go on with
   */
  async ensure(wish: Wanted, stands: boolean): Promise<number> {
    const { leases, now, wake } = this.#options;
    const said = (leases.isInUse ? this.#said : undefined) ?? this.#saidBefore();
    const wanted = stands || said === undefined ? wish : withBackendOf(wish, said);
    this.#said = wanted;
    if (!leases.isInUse) {
      if (now() < this.#retryAt) throw this.#failure;
      await this.#ask(wanted);
      return leases.dueAt(wanted);
    }
    const dueAt = Math.max(leases.dueAt(wanted), this.#retryAt);
    if (dueAt > now() && this.#working === undefined) return dueAt;
    this.#working ??= this.#ask(wanted)
      .catch(() => undefined) // It is a problem of the daemon's now.
      .finally(() => {
        this.#working = undefined;
        wake();
      });
    return Number.POSITIVE_INFINITY;
  }

  /** Resolves when nothing is being asked any more. */
  async idle(): Promise<void> {
    await this.#working;
  }

  /** What a daemon before this one has said of this host, as it stands in etcd. */
  #saidBefore(): Said | undefined {
    const { view, nodeId } = this.#options;
    const { leases, nodes } = view.cluster;
    const lease = leases.leases().find((one) => nodes.holderOf(one)?.nodeId === nodeId);
    const capabilities = nodes.get(nodeId)?.capabilities;
    return lease && capabilities && { attributes: lease.attributes, capabilities };
  }

  async #ask(wanted: Wanted): Promise<void> {
    const { leases, view, problems, now } = this.#options;
    // The watch keeps the view up to date, unless it is broken.
    const seen = view.fault === undefined ? view.cluster : undefined;
    try {
      await problems.run('lease', () => leases.ensure(wanted, seen));
    } catch (error) {
      this.#failure = error;
      this.#retryAt = now() + pauseAfter(error, leases.isInUse);
      throw error;
    } finally {
      // What came while etcd was asked.
      leases.observe(view.cluster, view.revision);
    }
  }
}

/**
 * What the lease should be.
 * @param chosen the network config to go by
 * @param config the one that is gone by; of another one only the subnets are leased yet, and the addresses they need: that
 *   this host has another backend is said once it has
 */
export function wantedLease({
  chosen,
  config,
  backend: { attributes, capabilities },
  iface,
  ...rest
}: Pick<Wanted, 'configKey' | 'hardware'> & {
  readonly chosen: UsableConfig;
  readonly config: UsableConfig;
  readonly backend: Backend;
  readonly iface: ExternalInterface;
}): Wanted {
  const families = familiesOf(chosen.network.ranges);
  const isPossible = families.every((family) => outerAddress(iface, family) !== undefined);
  const { network, revision } = isPossible ? chosen : config;
  const addresses = isPossible && chosen !== config ? publicAddresses(iface, families) : {};
  return {
    ...rest,
    ranges: network.ranges,
    configRevision: revision,
    attributes: { ...attributes, ...addresses },
    capabilities,
  };
}

/**
 * @param isInUse whether the host has a subnet; without, any event may bring what it waits for, and asking costs little
 * @returns milliseconds
 */
function pauseAfter(error: unknown, isInUse: boolean): number {
  // Every host hears of the question that is asked then.
  if (isCode(error, 'not-unique')) return RETRY_NOT_UNIQUE;
  if (!isInUse) return 0;
  return isCode(error, 'out-of-subnets') ? RETRY_OUT_OF_SUBNETS : RETRY_AFTER;
}

/** Why the subnet in use is not surely this host's: a sentence, or none. */
export function leaseProblem({ state, isInUse, held }: LeaseKeeper, { remembered }: NetworkView): string[] {
  if (remembered !== undefined) {
    const when = remembered.toISOString();
    return [`running on the network as it was at ${when}: etcd has not answered since the daemon started`];
  }
  const isSure = held !== undefined && state.name !== 'at-risk';
  return isInUse && !isSure ? [`the lease is ${state.name}: ${state.reason}`] : [];
}

function withBackendOf(wish: Wanted, { attributes, capabilities }: Said): Wanted {
  const { publicIp, publicIpv6 } = wish.attributes;
  return { ...wish, capabilities, attributes: { ...attributes, publicIp, publicIpv6 } };
}
