import type { FlagValues } from '../config/flags.ts';
import type { SubnetRange } from '../config/network-config.ts';
import { CorduroyError } from '../errors.ts';
import type { InterfaceWishes } from '../host/interface-choice.ts';
import type { ExternalInterface } from '../host/state.ts';
import type { Log } from '../observe/log.ts';

/** Rejects with `no-interface`. */
export type ChooseInterface = (before: ExternalInterface | undefined) => Promise<ExternalInterface>;

/** Keeps the choice of the interface that the traffic between hosts goes by, and follows its address and MTU. */
export class InterfaceKeeper {
  readonly #choose: ChooseInterface;
  readonly #log: Log;
  #chosen: ExternalInterface | undefined;
  #isSure = false;

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
  async ensure(): Promise<ExternalInterface> {
    if (this.#chosen !== undefined && this.#isSure) return this.#chosen;
    const found = await this.#choose(this.#chosen);
    this.#isSure = true;
    const before = this.#chosen;
    if (isSame(found, before) && before !== undefined) return before;
    this.#chosen = found;
    this.#log.info(
      `${before === undefined ? 'using' : 'the way to the other hosts has changed: now'} ${textOf(found)}`,
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
export function isInside({ address, publicIp }: ExternalInterface, ranges: readonly SubnetRange[]): boolean {
  return ranges.some(({ network }) => network.contains(address) || network.contains(publicIp));
}

/** @throws CorduroyError `no-interface` */
export function requireOutside(iface: ExternalInterface, ranges: readonly SubnetRange[]): void {
  if (!isInside(iface, ranges)) return;
  const networks = ranges.map(({ network }) => network).join(' and ');
  const text = `this host's address ${iface.address} lies inside the network ${networks}`;
  throw new CorduroyError('no-interface', `${text}: choose another --iface, or another Network`);
}

/** What the flags say about the interface. */
export function interfaceWishes(flags: FlagValues): InterfaceWishes {
  return {
    iface: flags.iface,
    ifaceRegex: flags['iface-regex'],
    ifaceCanReach: flags['iface-can-reach'],
    publicIp: flags['public-ip'],
    etcdEndpoints: flags['etcd-endpoints'],
  };
}

function isSame(
  { name, mac, mtu, address, publicIp }: ExternalInterface,
  before: ExternalInterface | undefined,
): boolean {
  const isLike = before?.name === name && before.mac === mac && before.mtu === mtu;
  return isLike && before.address.equals(address) && before.publicIp.equals(publicIp);
}

function textOf({ name, address, publicIp, mtu, why }: ExternalInterface): string {
  const published = publicIp.equals(address) ? '' : `, published as ${publicIp}`;
  return `interface ${name} (${address}${published}, MTU ${mtu}): ${why}`;
}
