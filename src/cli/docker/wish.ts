import { join } from 'node:path';
import type { Configuration, ConfigurationWish } from '../../bridge/docker/configuration.ts';
import {
  contradictingKeys,
  DIRECT_ROUTING,
  leaseKeys,
  optionsInFile,
} from '../../bridge/docker/daemon-json.ts';
import { knowsDirectRouting } from '../../bridge/docker/dockerd.ts';
import {
  bridgeOptionsOn,
  contradictingOptionsOn,
  dropInText,
  programOf,
  type UnitCommand,
} from '../../bridge/docker/drop-in.ts';
import { subnetOf } from '../../bridge/docker/settings.ts';
import { parseObject } from '../../config/edit-config-file.ts';
import { RUN_FILES } from '../../config/names.ts';
import type { Options } from '../../config/options.ts';
import { daemonUnit } from '../../enroll/units.ts';
import { CorduroyError } from '../../errors.ts';
import { hostFacts } from '../cni/host-facts.ts';
import { settingsNow } from './files.ts';
import { installedCommand, wordsOf } from './installed-command.ts';

export const WAYS = ['options', 'daemon-json', 'network'] as const;
export type How = (typeof WAYS)[number];

/**
 * What a way needs in the files.
 *
 * @param base the files without what an earlier choice has put there
 * @param given settings to be kept beside the choice
 * @throws CorduroyError `usage` naming what stands in the way, and what to do about it
 */
export async function wishFor(
  how: How,
  options: Options,
  base: Configuration,
  given: Readonly<Record<string, unknown>>,
): Promise<ConfigurationWish> {
  const { flags } = options;
  // The daemon that runs may have been given one that is in no file.
  const bridge = flags.bridge ?? (await hostFacts(options)).bridge;
  if (bridge !== undefined)
    throw usage(`--bridge ${bridge} has this host's subnet: take that setting out, then run this again`);
  if (flags['cni-conflist'] !== undefined)
    throw usage("CNI's bridge has this host's subnet: corduroy cni remove, then run this again");
  const settings = {
    docker: how,
    ...given,
    // Once somebody has decided on it, that stands.
    ...('ip-masq' in base.settings ? {} : { 'ip-masq': true }),
  };
  if (how === 'network') return { settings };
  const path = flags['docker-config-file'];
  const document = parseObject(base.daemonJson, path);
  const contradicting = contradictingKeys(document, hasIpv6(options));
  if (contradicting.length > 0)
    throw usage(
      `${path} sets ${quoted(contradicting)}, which leaves no room for this host's subnet: take it out`,
    );
  return how === 'options'
    ? { settings, dropIn: await dropInFor(options, document) }
    : { settings, daemonJson: await daemonJsonFor(options) };
}

async function dropInFor(options: Options, document: Readonly<Record<string, unknown>>): Promise<string> {
  const { flags, runDir } = options;
  const inFile = optionsInFile(document, hasIpv6(options));
  if (inFile.length > 0) {
    throw usage(
      `${flags['docker-config-file']} sets ${quoted(inFile)}, and dockerd does not start when its command line does, ` +
        'too: choose --how daemon-json, or take them out',
    );
  }
  const command = await installedCommand();
  if (command === undefined) {
    throw usage(
      "there is no systemd: choose --how daemon-json or network, or start dockerd with the options that 'corduroy docker " +
        "environment' writes",
    );
  }
  requireRoom(await wordsOf(command), hasIpv6(options));
  const instance = flags.instance === '' ? [] : ['--instance', flags.instance];
  const configFile = flags['config-file'] === undefined ? [] : ['--config-file', flags['config-file']];
  return dropInText({
    command,
    daemonUnit: daemonUnit(flags.instance),
    environmentCommand: [
      process.argv[1] ?? 'corduroy',
      ...['docker', 'environment', '--dockerd', programOf(command)],
      ...instance,
      ...configFile,
    ],
    environmentFile: join(runDir, RUN_FILES.dockerEnvironment),
  });
}

async function daemonJsonFor(options: Options): Promise<Readonly<Record<string, unknown>>> {
  const settings = settingsNow(options);
  if (settings === undefined)
    throw usage(`there is no subnet in ${options.subnetFile} yet: corduroy wait, then run this again`);
  const command = await installedCommand();
  const words = command === undefined ? [] : await wordsOf(command);
  requireRoom(words, hasIpv6(options));
  for (const one of words) {
    const onLine = bridgeOptionsOn(one, hasIpv6(options));
    if (onLine.length === 0) continue;
    throw usage(
      `${one.file} starts dockerd with ${onLine.join(' ')}, and dockerd does not start when its file says it, too: ` +
        'take that out, or choose --how options',
    );
  }
  const direct = await knowsDirectRouting(command === undefined ? 'dockerd' : programOf(command));
  return { ...leaseKeys(settings), ...(direct && { [DIRECT_ROUTING]: true }) };
}

/** Before there is a subnet nobody knows: then it shows at the start of dockerd. */
function hasIpv6(options: Options): boolean {
  const settings = settingsNow(options);
  return settings !== undefined && subnetOf(settings, 6) !== undefined;
}

function requireRoom(words: readonly UnitCommand[], isForIpv6: boolean): void {
  for (const one of words) {
    const options = contradictingOptionsOn(one, isForIpv6);
    if (options.length === 0) continue;
    throw usage(
      `${one.file} starts dockerd with ${options.join(' ')}, which leaves no room for this host's subnet: take it out`,
    );
  }
}

function quoted(keys: readonly string[]): string {
  return keys.map((key) => `"${key}"`).join(' and ');
}

function usage(text: string): CorduroyError {
  return new CorduroyError('usage', text);
}
