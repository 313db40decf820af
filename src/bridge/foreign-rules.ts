import type { Options } from '../config/options.ts';
import { CorduroyError } from '../errors.ts';
import { type Chains, readAllTables } from '../host/iptables.ts';
import { readLinks } from '../host/observe.ts';
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
    if (this.#now() - this.#lookedAt >= LOOK_EVERY) {
      const subnets = families.map(({ subnet }) => subnet);
      this.#found = await findRulesInTheWay(this.#options, subnets, ipMasq);
      this.#lookedAt = this.#now();
    }
    if (this.#found.length > 0) {
      throw new CorduroyError('foreign-object', this.#found.join('; '), { retryable: true });
    }
  }
}

/** What stands in the way now, and the command that mends it, a sentence each. @param subnets this host's */
export async function findRulesInTheWay(
  { flags, names }: Options,
  subnets: readonly Prefix[],
  ipMasq: boolean,
): Promise<string[]> {
  const how = flags.docker === 'off' ? 'options' : flags.docker;
  const configure = `corduroy docker configure --how ${how} --restart${names.commandSuffix}`;
  const tunnels = (await readLinks()).filter(
    ({ ifname, ifalias, linkinfo }) =>
      ifname === names.devices.tun || (ifalias === names.linkMark && linkinfo?.info_kind !== 'bridge'),
  );
  const devices = tunnels.map(({ ifname }) => ifname);
  const found = subnets.map(async (subnet) =>
    rulesInTheWay(await readAllTables(subnet.family), { subnet, devices, ipMasq, configure }),
  );
  return (await Promise.all(found)).flat();
}

export interface OurTraffic {
  /** This host's subnet of one family, that of the rules. */
  readonly subnet: Prefix;
  /** The tunnel devices; none where packets of other hosts come by an interface that has others, too. */
  readonly devices: readonly string[];
  /** Whether Corduroy masquerades, so that nobody else has to. */
  readonly ipMasq: boolean;
  /** The command that gives Docker the subnet so that it stays out of the way. */
  readonly configure: string;
}

/** As dockerd gives them to iptables. */
const MASQUERADE = /^-s (\S+) ! -o \S+ -j MASQUERADE$/;
/** From Docker 28 on, for each container, and for each port in 28.0 and 28.1. */
const DROP = /^-d (\S+) ! -i \S+ (?:.* )?-j DROP$/;

/** In front of those, of an interface that its operator trusts. */
const ACCEPT = /^-d (\S+) -i (\S+) -j ACCEPT$/;

/** @returns what stands in the way, and the command that mends it, a sentence each */
export function rulesInTheWay(
  tables: ReadonlyMap<string, Chains>,
  { subnet, devices, ipMasq, configure }: OurTraffic,
): string[] {
  const iptables = subnet.family === 4 ? 'iptables' : 'ip6tables';
  const isOfSubnet = (cidr: string | undefined) =>
    cidr !== undefined && Prefix.parseMasked(cidr).overlaps(subnet);
  const masquerades = tables.get('nat')?.get('POSTROUTING') ?? [];
  const masquerade = ipMasq ? masquerades.find((rule) => isOfSubnet(MASQUERADE.exec(rule)?.[1])) : undefined;
  const incoming = tables.get('raw')?.get('PREROUTING') ?? [];
  const drop = incoming.find((rule, index) => {
    const [, cidr] = DROP.exec(rule) ?? [];
    if (!isOfSubnet(cidr)) return false;
    const accepted = incoming.slice(0, index).flatMap((before) => {
      const [, address, device] = ACCEPT.exec(before) ?? [];
      return device !== undefined && address === cidr ? [device] : [];
    });
    return accepted.length === 0 || !devices.every((device) => accepted.includes(device));
  });
  return [
    ...(masquerade === undefined
      ? []
      : [
          `Docker masquerades what containers of ${subnet} send to those of other hosts, which then do not see their ` +
            `addresses: ${iptables} -t nat -D POSTROUTING ${masquerade} removes its rule, and ${configure} keeps it away`,
        ]),
    ...(drop === undefined
      ? []
      : [
          `Docker (28 and newer) drops what other hosts send to containers of ${subnet} (${iptables} -t raw -S PREROUTING ` +
            `shows: ${drop}): ${configure} makes it let them in`,
        ]),
  ];
}
