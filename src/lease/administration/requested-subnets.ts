import {
  type NetworkConfig,
  networkConfigError,
  networkConfigKey,
  parseNetworkConfig,
  type SubnetRange,
} from '../../config/network-config.ts';
import { CorduroyError, messageOf } from '../../errors.ts';
import { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * Subnets as an operator types them, one of each family at the most, IPv4 first.
 * @throws CorduroyError `usage`
 */
export function parseSubnets(texts: readonly string[]): Prefix[] {
  const subnets = texts.map(parseSubnet).sort((one, other) => one.family - other.family);
  const [first, second] = subnets;
  if (first === undefined || subnets.length > 2 || first.family === second?.family) {
    throw usage(`${subnets.join(' and ')} are no subnets of one lease: that has one, or one of each family`);
  }
  return subnets;
}

function parseSubnet(text: string): Prefix {
  try {
    return Prefix.parse(text);
  } catch (error) {
    throw usage(printable(messageOf(error)));
  }
}

/** @throws CorduroyError `network-config` when there is none, or it is not valid */
export function configOf({ prefix, cluster }: Snapshot): NetworkConfig {
  const key = networkConfigKey(prefix);
  const entry = cluster.entry(key);
  if (entry === undefined) {
    throw new CorduroyError(
      'network-config',
      `there is no network config ${key}, which says what can be leased; write one with: ` +
        `corduroy config set '{"Network": "10.5.0.0/16"}'`,
    );
  }
  const { value, problems } = parseNetworkConfig(entry.value);
  if (value === undefined) throw networkConfigError(`the network config ${key}`, problems);
  return value;
}

/**
 * Whether a lease of this network could have these subnets: one of each range, in its order.
 * @throws CorduroyError `usage` that says which can
 */
export function checkFit(subnets: readonly Prefix[], { ranges }: NetworkConfig): void {
  for (const subnet of subnets) {
    const range = ranges.find(({ network }) => network.family === subnet.family);
    if (range === undefined) throw usage(`${subnet}: the network has no IPv${subnet.family} subnets`);
    const rule = brokenRule(subnet, range);
    if (rule !== undefined) throw usage(`${subnet} ${rule}, such as ${exampleOf(range)}`);
  }
  if (subnets.length < ranges.length) {
    const examples = ranges.map(exampleOf).join(' ');
    throw usage(`a lease of this network has a subnet of each family: name both, such as ${examples}`);
  }
}

function brokenRule(subnet: Prefix, { network, subnetLen, subnetMin, subnetMax }: SubnetRange) {
  if (subnet.length !== subnetLen)
    return `is a /${subnet.length}: this network ${network} leases /${subnetLen}`;
  if (!network.covers(subnet)) return `lies outside the network ${network}: a subnet lies inside`;
  if (subnet.address.value < subnetMin.value || subnet.address.value > subnetMax.value) {
    return `lies outside what is leased of ${network}: that is from ${subnetMin} to ${subnetMax}`;
  }
  return undefined;
}

function exampleOf({ subnetMin, subnetLen }: SubnetRange): Prefix {
  return Prefix.of(subnetMin, subnetLen);
}

function usage(text: string): CorduroyError {
  return new CorduroyError('usage', text);
}
