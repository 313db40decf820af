import { isCode } from '../../errors.ts';
import { run } from '../../host/exec.ts';
import { DIRECT_ROUTING, optionsInFile } from './daemon-json.ts';
import { OPTIONS_VARIABLE } from './drop-in.ts';
import { bridgeAddress, type DockerSettings, subnetOf } from './settings.ts';

/**
 * Whether this dockerd has to be told to let other hosts' packets through to containers, and understands it (28.2 and
 * newer): it is asked for its options, as one that does not know an option does not start.
 */
export async function knowsDirectRouting(dockerd: string): Promise<boolean> {
  try {
    const { stdout, stderr } = await run(dockerd, ['--help'], { allowFailure: true });
    return `${stdout}${stderr}`.includes(`--${DIRECT_ROUTING}`);
  } catch (error) {
    if (isCode(error, 'host-command')) return false; // There is none.
    throw error;
  }
}

export interface EnvironmentParts {
  readonly settings: DockerSettings;
  /** See knowsDirectRouting. */
  readonly directRouting: boolean;
  /** What dockerd's configuration file holds. */
  readonly daemonJson: Readonly<Record<string, unknown>>;
}

/**
 * Options for one start of dockerd, as an EnvironmentFile. What its configuration file sets is left out: dockerd does not
 * start when it is told a thing twice.
 */
export function dockerEnvironment({ settings, directRouting, daemonJson }: EnvironmentParts): string {
  const [v4, v6] = [subnetOf(settings, 4), subnetOf(settings, 6)];
  const inFile = optionsInFile(daemonJson, v6 !== undefined);
  const options: [string, string][] = [
    ...(v4 === undefined ? [] : ([['bip', `--bip=${bridgeAddress(v4)}`]] as [string, string][])),
    ['ip-masq', `--ip-masq=${settings.masquerade}`],
    ['mtu', `--mtu=${settings.mtu}`],
  ];
  if (v6 !== undefined) options.push(['ipv6', '--ipv6'], ['fixed-cidr-v6', `--fixed-cidr-v6=${v6}`]);
  if (directRouting) options.push([DIRECT_ROUTING, `--${DIRECT_ROUTING}`]);
  const given = options
    .filter(([key]) => !inFile.includes(key) && !(key === 'bip' && 'bridge' in daemonJson))
    .map(([, option]) => option);
  return `${OPTIONS_VARIABLE}="${given.join(' ')}"\n`;
}
