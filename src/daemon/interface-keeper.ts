import type { SubnetRange } from '../config/network-config.ts';
import { CorduroyError } from '../errors.ts';
import type { ExternalInterface } from '../host/state.ts';
import type { Log } from '../observe/log.ts';

/** Keeps the choice of the interface that the traffic between hosts goes by, and follows its address and MTU. */
export class InterfaceKeeper {
  readonly #choose: () => Promise<ExternalInterface>;
  readonly #log: Log;
  #chosen: ExternalInterface | undefined;
  #isSure = false;

  /** @param choose rejects with `no-interface` */
  constructor(choose: () => Promise<ExternalInterface>, log: Log) {
    this.#choose = choose;
    this.#log = log;
  }

  /** The same object for as long as nothing of it changes. */
  get chosen(): ExternalInterface | undefined {
    return this.#chosen;
  }

  /** The next `ensure` looks at the host again. */
  distrust(): void {
    this.#isSure = false;
  }

  /** @throws CorduroyError `no-interface`; what was chosen before stays chosen */
  async ensure(ranges: readonly SubnetRange[]): Promise<ExternalInterface> {
    const found = this.#chosen !== undefined && this.#isSure ? this.#chosen : await this.#choose();
    requireOutside(found, ranges);
    this.#isSure = true;
    const before = this.#chosen;
    if (before?.mac === found.mac && textOf(before) === textOf(found)) return before;
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

/** Packets to this host would be led into the tunnel that they are to carry. */
function requireOutside({ address, publicIp }: ExternalInterface, ranges: readonly SubnetRange[]): void {
  const inside = ranges.find(({ network }) => network.contains(address) || network.contains(publicIp));
  if (inside === undefined) return;
  const text = `this host's address ${address} lies inside the network ${inside.network}`;
  throw new CorduroyError('no-interface', `${text}: choose another --iface, or another Network`);
}

function textOf({ name, address, publicIp, mtu, why }: ExternalInterface): string {
  const published = publicIp.equals(address) ? '' : `, published as ${publicIp}`;
  return `interface ${name} (${address}${published}, MTU ${mtu}): ${why}`;
}
