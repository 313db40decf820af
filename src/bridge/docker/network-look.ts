import type { Options } from '../../config/options.ts';
import { isCode, messageOf } from '../../errors.ts';
import type { Log } from '../../observe/log.ts';
import { DockerApi } from './docker-api.ts';
import type { Finding, Look } from './docker-setup.ts';
import { isAway } from './http.ts';
import {
  BRIDGE,
  isOwnNetwork,
  type NetworkPlan,
  networkNames,
  planNetwork,
  wantedNetwork,
} from './network-plan.ts';
import { dockerPresence } from './presence.ts';
import { type DockerSettings, dockerSettings } from './settings.ts';

export interface NetworkObservation {
  readonly api: DockerApi;
  readonly wanted: ReturnType<typeof wantedNetwork>;
  readonly plan: NetworkPlan;
}

/** What stands and what is to be done. @throws CorduroyError `docker`, retryable where dockerd is away */
export async function observeNetwork(
  options: Options,
  settings: DockerSettings,
): Promise<NetworkObservation> {
  const api = await DockerApi.connect(options.flags['docker-socket']);
  const wanted = wantedNetwork(settings, namesOf(options), api.api);
  const found = await api.networks(wanted.name);
  const [network] = found;
  const containers = network === undefined ? [] : await api.containersOf(network);
  return { api, wanted, plan: planNetwork(wanted, found, containers) };
}

/** Keeps the Docker network of `--docker=network` right. A Docker that is not there is waited for. */
export function networkLook(options: Options, log: Log): Look {
  return async (subnet) => {
    const settings = dockerSettings(subnet);
    const presence = await dockerPresence(options.flags['docker-socket']);
    if (settings === undefined || presence === 'away') return {};
    if (presence === 'starting') return { pending: true };
    try {
      return await bringAbout(await observeNetwork(options, settings), options, log);
    } catch (error) {
      if (isAway(error)) return { pending: true };
      throw error;
    }
  };
}

async function bringAbout(
  { api, wanted, plan }: NetworkObservation,
  { names }: Options,
  log: Log,
): Promise<Finding> {
  switch (plan.kind) {
    case 'keep':
      return {};
    case 'leave':
      return { problem: plan.problem };
    case 'replace':
      log.info(`Docker network ${wanted.name} has ${plan.why}, and is made anew`);
      await api.removeNetwork(plan.network);
      break;
    case 'create':
  }
  try {
    await api.createNetwork(wanted);
  } catch (error) {
    if (!isCode(error, 'docker') || isAway(error)) throw error;
    return {
      problem:
        `${messageOf(error)}. Another network has these addresses (docker network ls), or docker0 has kept an earlier ` +
        `address: corduroy docker configure --how network --restart${names.commandSuffix}`,
    };
  }
  log.info(
    `made Docker network ${wanted.name}: ${wanted.pools.map(({ subnet }) => subnet).join(' and ')}, bridge ${wanted.options[BRIDGE]}`,
  );
  return {};
}

function namesOf({ flags, names }: Options) {
  return networkNames(flags['docker-network'], flags.instance, names.linkMark);
}

/**
 * Removes the network of `--docker-network`, or another one, if Corduroy made it and no container is attached.
 *
 * @returns what was removed, a phrase each; and what is left, with the reason
 */
export async function removeDockerNetwork(
  options: Options,
  name: string = options.flags['docker-network'],
): Promise<{ readonly removed: readonly string[]; readonly left: readonly string[] }> {
  const names = networkNames(name, options.flags.instance, options.names.linkMark);
  const phrase = `Docker network ${names.name}`;
  const nothing = { removed: [], left: [] };
  try {
    if ((await dockerPresence(options.flags['docker-socket'])) !== 'running') return nothing;
    const api = await DockerApi.connect(options.flags['docker-socket']);
    const network = (await api.networks(names.name)).find((one) => isOwnNetwork(one, names.mark));
    if (network === undefined) return nothing;
    const containers = await api.containersOf(network);
    if (containers.length > 0)
      return { removed: [], left: [`${phrase}: containers are attached (${containers.join(', ')})`] };
    await api.removeNetwork(network);
    return { removed: [phrase], left: [] };
  } catch (error) {
    if (isAway(error)) return nothing;
    if (isCode(error, 'docker')) return { removed: [], left: [`${phrase}: ${error.message}`] };
    throw error;
  }
}
