import { CorduroyError } from '../../errors.ts';
import { Prefix } from '../../net/prefix.ts';
import { printable } from '../../printable.ts';
import { parseEnv } from '../subnet-env.ts';

export interface DockerOptionsForm {
  /** One variable an option: DOCKER_OPT_BIP and so on. */
  readonly individual: boolean;
  /** All options in one variable. */
  readonly combined: boolean;
  /** Name of that variable. */
  readonly key: string;
  /** Leave out --ip-masq. */
  readonly omitIpMasq: boolean;
}

/**
 * What flannel's mk-docker-opts makes of a subnet.env, byte for byte: options for dockerd as variables for an
 * EnvironmentFile. Docker masquerades exactly when the overlay does not. Of IPv6 flannel's says nothing: this one does.
 *
 * @throws CorduroyError `malformed` when a value is not of its form
 */
export function dockerOptions(subnetEnv: string, form: DockerOptionsForm): string {
  const variables = parseEnv(subnetEnv);
  const subnet = variables.get('FLANNEL_SUBNET');
  const ipMasq = variables.get('FLANNEL_IPMASQ');
  const mtu = variables.get('FLANNEL_MTU');
  const subnet6 = variables.get('FLANNEL_IPV6_SUBNET');
  for (const [name, value, form] of [
    ['FLANNEL_SUBNET', subnet, /^[0-9.]+\/\d+$/],
    ['FLANNEL_IPMASQ', ipMasq, /^(true|false)$/],
    ['FLANNEL_MTU', mtu, /^\d+$/],
    ['FLANNEL_IPV6_SUBNET', subnet6, /^[0-9a-f:]+\/\d+$/],
  ] as const) {
    // The file becomes part of a command line.
    if (value && !form.test(value))
      throw new CorduroyError('malformed', `${name} is "${printable(value)}", which cannot be`);
  }
  const options: [string, string][] = [];
  if (subnet) options.push(['BIP', `--bip=${subnet}`]);
  if (ipMasq && !form.omitIpMasq)
    options.push(['IPMASQ', `--ip-masq=${ipMasq === 'true' ? 'false' : 'true'}`]);
  if (mtu) options.push(['MTU', `--mtu=${mtu}`]);
  if (subnet6)
    options.push(['IPV6', '--ipv6'], ['FIXED_CIDR_V6', `--fixed-cidr-v6=${Prefix.parseMasked(subnet6)}`]);
  const individual = options.map(([name, option]) => `DOCKER_OPT_${name}="${option}"\n`).join('');
  const combined = `${form.key}="${options.map(([, option]) => ` ${option}`).join('')}"\n`;
  return (form.individual ? individual : '') + (form.combined ? combined : '');
}
