import type { FlagValues } from '../config/flags.ts';
import type { SubnetRange } from '../config/network-config.ts';
import { CorduroyError } from '../errors.ts';
import type { InterfaceWishes } from '../host/interface-choice.ts';
import { type ExternalInterface, type OuterAddress, outerAddresses } from '../host/state.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Log } from '../observe/log.ts';

/** Rejects with `no-interface`. */
export type ChooseInterface = (
  before: ExternalInterface | undefined,
  /** That it has to have an address of; empty: of any. */
  families: readonly Family[],
) => Promise<ExternalInterface>;

/** Keeps the choice of the interface that the traffic between hosts goes by, and follows its address and MTU. */
export class InterfaceKeeper {
  readonly #choose: ChooseInterface;
  readonly #log: Log;
  #chosen: ExternalInterface | undefined;
  #isSure = false;
  /** The families it was asked for. */
  #chosenFor = '';

  constructor(choose: ChooseInterface, log: Log) {
    this.#choose = choose;
    this.#log = log;
  }

  /** The same object for as long as nothing of it changes but the reason. */
  get chosen(): ExternalInterface | undefined {
    return this.#chosen;
  }

  /** The next `ensure` looks at the host again. */
  distrust(): void {
    this.#isSure = false;
  }

  /** @throws CorduroyError `no-interface`; what was chosen before stays chosen */
  async ensure(families: readonly Family[]): Promise<ExternalInterface> {
    const chosenFor = families.join(' ');
    if (this.#chosen !== undefined && this.#isSure && chosenFor === this.#chosenFor) return this.#chosen;
    const found = await this.#choose(this.#chosen, families);
    const isAsBefore = chosenFor === this.#chosenFor;
    this.#isSure = true;
    this.#chosenFor = chosenFor;
    const before = this.#chosen;
    if (isSame(found, before) && before !== undefined) return before;
    this.#chosen = found;
    const hasChanged = before !== undefined && (isAsBefore || !sameAddresses(before, found));
    this.#log.info(
      `${hasChanged ? 'the way to the other hosts has changed: now' : 'using'} ${textOf(found)}`,
    );
    if (before !== undefined && before.mtu !== found.mtu) {
      this.#log.warn(
        `the MTU of ${found.name} is ${found.mtu} now and was ${before.mtu}: containers that run keep theirs until they are restarted`,
      );
    }
    return found;
  }
}

/** Whether an address of the interface lies in the network: packets to this host would be led into the tunnel. */
export function isInside(iface: ExternalInterface, ranges: readonly SubnetRange[]): boolean {
  return addressInside(iface, ranges) !== undefined;
}

/** @returns an address of the interface that lies in the network, if one does */
export function addressInside(iface: ExternalInterface, ranges: readonly SubnetRange[]): Ip | undefined {
  return outerAddresses(iface)
    .flatMap(({ address, publicIp }) => [address, publicIp])
    .find((ip) => ranges.some(({ network }) => network.contains(ip)));
}

/** @throws CorduroyError `no-interface` */
export function requireOutside(iface: ExternalInterface, ranges: readonly SubnetRange[]): void {
  const inside = addressInside(iface, ranges);
  if (inside === undefined) return;
  const networks = ranges.map(({ network }) => network).join(' and ');
  const text = `this host's address ${inside} lies inside the network ${networks}`;
  throw new CorduroyError('no-interface', `${text}: choose another --iface, or another Network`);
}

/** What the flags say about the interface. */
export function interfaceWishes(flags: FlagValues): InterfaceWishes {
  return {
    iface: flags.iface,
    ifaceRegex: flags['iface-regex'],
    ifaceCanReach: flags['iface-can-reach'],
    publicIp: flags['public-ip'],
    publicIpv6: flags['public-ipv6'],
    etcdEndpoints: flags['etcd-endpoints'],
  };
}

function isSame(found: ExternalInterface, before: ExternalInterface | undefined): boolean {
  const factsOf = ({ name, mac, mtu, v4, v6, onLink }: ExternalInterface) =>
    JSON.stringify([name, mac, mtu, v4, v6, onLink]);
  return factsOf(found) === (before && factsOf(before));
}

function textOf(iface: ExternalInterface): string {
  const addresses = outerAddresses(iface).map(({ address, publicIp }) =>
    publicIp.equals(address) ? `${address}` : `${address}, published as ${publicIp}`,
  );
  return `interface ${iface.name} (${addresses.join('; ')}, MTU ${iface.mtu}): ${iface.why}`;
}

/** Whether others reach this host at the same addresses, and it sends from them: of each family that both tell of. */
export function sameAddresses(one: ExternalInterface, other: ExternalInterface): boolean {
  const isSame = ([a, b]: readonly (OuterAddress | undefined)[]) =>
    a === undefined || b === undefined || JSON.stringify(a) === JSON.stringify(b);
  return [
    [one.v4, other.v4],
    [one.v6, other.v6],
  ].every(isSame);
}
