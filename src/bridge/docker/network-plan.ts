import { printable } from '../../printable.ts';
import { gateway } from '../subnet-env.ts';
import {
  type ApiVersion,
  type DockerNetwork,
  isAtLeast,
  isIpv6,
  type NewNetwork,
  type Pool,
} from './docker-api.ts';
import type { DockerSettings } from './settings.ts';

/** The label of every network that Corduroy made, its value the instance's mark: no other is ever removed. */
const NETWORK_LABEL = 'corduroy.instance';

const MTU = 'com.docker.network.driver.mtu';
const MASQUERADE = 'com.docker.network.bridge.enable_ip_masquerade';
export const BRIDGE = 'com.docker.network.bridge.name';
const GATEWAY_MODE = 'com.docker.network.bridge.gateway_mode_ipv';
/** Version of the API (Docker 28.0) that knows a gateway mode without filters. */
const UNPROTECTED_SINCE: ApiVersion = { major: 1, minor: 48 };

export interface NetworkNames {
  /** Of the Docker network. */
  readonly name: string;
  /** Tells the instances of one host apart. */
  readonly mark: string;
  /** The Linux bridge, at most 15 characters. */
  readonly bridge: string;
}

export function networkNames(name: string, instance: string, mark: string): NetworkNames {
  return { name, mark, bridge: instance === '' ? 'corduroy-docker' : `cdyd-${instance}` };
}

/**
 * Docker's own masquerading would show other hosts' containers this host in the place of the container. Since 28.0 it
 * drops what other hosts send to containers, before any rule of others, unless the network is `nat-unprotected`: ports
 * are published as always, and nothing is filtered, as before.
 */
export function wantedNetwork(
  { subnets, mtu }: DockerSettings,
  { name, mark, bridge }: NetworkNames,
  api: ApiVersion,
): NewNetwork {
  const modes = subnets.map(({ family }) => [`${GATEWAY_MODE}${family}`, 'nat-unprotected'] as const);
  return {
    name,
    pools: subnets.map((subnet) => ({ subnet: subnet.toString(), gateway: gateway(subnet).toString() })),
    options: {
      [BRIDGE]: bridge,
      [MASQUERADE]: 'false',
      [MTU]: String(mtu),
      ...(isAtLeast(api, UNPROTECTED_SINCE) && Object.fromEntries(modes)),
    },
    labels: { [NETWORK_LABEL]: mark },
  };
}

/** What is to be done about the network. */
export type NetworkPlan =
  | { readonly kind: 'keep' }
  | { readonly kind: 'create' }
  /** It is not as it has to be, and nothing uses it. */
  | { readonly kind: 'replace'; readonly network: DockerNetwork; readonly why: string }
  | { readonly kind: 'leave'; readonly problem: string };

/**
 * @param found what bears its name
 * @param containers names of those attached to it
 */
export function planNetwork(
  wanted: NewNetwork,
  found: readonly DockerNetwork[],
  containers: readonly string[],
): NetworkPlan {
  const { name } = wanted;
  const [network, ...others] = found;
  if (network === undefined) return { kind: 'create' };
  if (others.length > 0 || !isOwnNetwork(network, wanted.labels[NETWORK_LABEL])) {
    const problem =
      `there is a Docker network ${name} that this corduroyd has not made, and it is left as it is: ` +
      `docker network rm ${name}, or another name with --docker-network`;
    return { kind: 'leave', problem };
  }
  const why = differences(wanted, network).join(', ');
  if (why === '') return { kind: 'keep' };
  if (containers.length === 0) return { kind: 'replace', network, why };
  const some = containers.slice(0, 5).join(', ') + (containers.length > 5 ? ', …' : '');
  const problem =
    `Docker network ${name} has ${why}, and containers are attached to it (${some}): detach each ` +
    `(docker network disconnect --force ${name} ${containers[0]}), and attach it again to the network made anew`;
  return { kind: 'leave', problem };
}

export function isOwnNetwork({ Driver, Labels }: DockerNetwork, mark: string | undefined): boolean {
  return Driver === 'bridge' && mark !== undefined && Labels?.[NETWORK_LABEL] === mark;
}

function differences(wanted: NewNetwork, { IPAM, Options, EnableIPv6 }: DockerNetwork): string[] {
  const poolOf = (is6: boolean) => wanted.pools.find(({ subnet }) => isIpv6(subnet) === is6);
  const [ipv4, ipv6] = [poolOf(false), poolOf(true)];
  const foundOf = (is6: boolean) => (IPAM.Config ?? []).filter(({ Subnet }) => isIpv6(Subnet) === is6);
  const ofPool = (name: string, is6: boolean, pool: Pool): Fact[] => {
    const [one, ...more] = foundOf(is6);
    return [
      [`${name}subnet`, more.length > 0 ? 'several' : one?.Subnet, pool.subnet],
      [`${name}gateway`, one?.Gateway, pool.gateway],
    ];
  };
  const facts: Fact[] = [
    // An IPv4 subnet beside IPv6 alone is Docker's own, and nobody's concern.
    ...(ipv4 === undefined ? [] : ofPool('', false, ipv4)),
    ...(ipv6 === undefined ? [] : ofPool('IPv6 ', true, ipv6)),
    ['IPv6', EnableIPv6 === true ? 'on' : 'off', ipv6 === undefined ? 'off' : 'on'],
    ...Object.entries(wanted.options).map(
      ([key, value]): Fact => [OPTION_NAMES[key] ?? key, Options?.[key], value],
    ),
  ];
  return facts.flatMap(([what, is, ought]) =>
    is === ought ? [] : [`${what} ${is === undefined ? 'unset' : printable(is)} in place of ${ought}`],
  );
}

/** What it is about, what Docker has there, and what it ought to be. */
type Fact = readonly [what: string, is: string | undefined, ought: string];

const OPTION_NAMES: Readonly<Record<string, string>> = {
  [MTU]: 'MTU',
  [MASQUERADE]: 'masquerading',
  [BRIDGE]: 'bridge',
  [`${GATEWAY_MODE}4`]: 'gateway mode',
  [`${GATEWAY_MODE}6`]: 'IPv6 gateway mode',
};

/** What of the default bridge, or a network, is in Docker's own words. */
export function optionsOfNetwork({ Options }: DockerNetwork): {
  readonly mtu: number | undefined;
  readonly masquerade: boolean | undefined;
} {
  const [mtu, masquerade] = [Options?.[MTU], Options?.[MASQUERADE]];
  return {
    mtu: mtu === undefined ? undefined : Number(mtu),
    masquerade: masquerade === undefined ? undefined : masquerade === 'true',
  };
}
