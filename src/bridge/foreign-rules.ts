import type { Options } from '../config/options.ts';
import { CorduroyError } from '../errors.ts';
import { type Chains, readAllTables } from '../host/iptables.ts';
import { Prefix } from '../net/prefix.ts';
import type { ContainerSetup } from './container-setup.ts';
import type { SubnetEnv } from './subnet-env.ts';

/** Milliseconds between two looks: nothing tells of changes in these tables. */
const LOOK_EVERY = 10_000;

/** Looks for rules of Docker's that stop or disguise what the containers of two hosts send each other. */
export class ForeignRules implements ContainerSetup {
  readonly name = 'foreign rules';
  readonly #options: Options;
  readonly #now: () => number;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #found: readonly string[] = [];

  constructor(options: Options, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  get dueIn(): number {
    return this.#found.length > 0 ? LOOK_EVERY : Number.POSITIVE_INFINITY;
  }

  async ensure({ families, ipMasq }: SubnetEnv): Promise<void> {
    const subnet = families.map((family) => family.subnet).find(({ family }) => family === 4);
    if (subnet === undefined) return;
    if (this.#now() - this.#lookedAt >= LOOK_EVERY) {
      this.#found = await findRulesInTheWay(this.#options, subnet, ipMasq);
      this.#lookedAt = this.#now();
    }
    if (this.#found.length > 0) {
      throw new CorduroyError('foreign-object', this.#found.join('; '), { retryable: true });
    }
  }
}

/** What stands in the way now, and the command that mends it, a sentence each. */
export async function findRulesInTheWay(
  { flags, names }: Options,
  subnet: Prefix,
  ipMasq: boolean,
): Promise<string[]> {
  const how = flags.docker === 'off' ? 'options' : flags.docker;
  const configure = `corduroy docker configure --how ${how} --restart${names.commandSuffix}`;
  return rulesInTheWay(await readAllTables(), { subnet, device: names.devices.tun, ipMasq, configure });
}

export interface OurTraffic {
  /** This host's subnet. */
  readonly subnet: Prefix;
  /** The tunnel device. */
  readonly device: string;
  /** Whether Corduroy masquerades, so that nobody else has to. */
  readonly ipMasq: boolean;
  /** The command that gives Docker the subnet so that it stays out of the way. */
  readonly configure: string;
}

/** As dockerd gives them to iptables. */
const MASQUERADE = /^-s (\S+) ! -o \S+ -j MASQUERADE$/;
/** From Docker 28 on, for each container, and for each port in 28.0 and 28.1. */
const DROP = /^-d (\S+) ! -i \S+ (?:.* )?-j DROP$/;

/** @returns what stands in the way, and the command that mends it, a sentence each */
export function rulesInTheWay(
  tables: ReadonlyMap<string, Chains>,
  { subnet, device, ipMasq, configure }: OurTraffic,
): string[] {
  const isOfSubnet = (cidr: string | undefined) =>
    cidr !== undefined && Prefix.parseMasked(cidr).overlaps(subnet);
  const masquerades = tables.get('nat')?.get('POSTROUTING') ?? [];
  const masquerade = ipMasq ? masquerades.find((rule) => isOfSubnet(MASQUERADE.exec(rule)?.[1])) : undefined;
  const incoming = tables.get('raw')?.get('PREROUTING') ?? [];
  const drop = incoming.find((rule, index) => {
    const [, cidr] = DROP.exec(rule) ?? [];
    const isTrusted = incoming.slice(0, index).includes(`-d ${cidr} -i ${device} -j ACCEPT`);
    return isOfSubnet(cidr) && !isTrusted;
  });
  return [
    ...(masquerade === undefined
      ? []
      : [
          `Docker masquerades what containers of ${subnet} send to those of other hosts, which then do not see their ` +
            `addresses: iptables -t nat -D POSTROUTING ${masquerade} removes its rule, and ${configure} keeps it away`,
        ]),
    ...(drop === undefined
      ? []
      : [
          `Docker (28 and newer) drops what other hosts send to containers of ${subnet} (iptables -t raw -S PREROUTING ` +
            `shows: ${drop}): ${configure} makes it let them in`,
        ]),
  ];
}
