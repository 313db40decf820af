import { existsSync } from 'node:fs';
import type { Options } from '../../config/options.ts';
import { readIfThere } from '../../host/atomic-file.ts';
import { forwardsIpv6, ipv6ForwardingCommand } from '../../host/ipv6-forwarding.ts';
import { addressesOf, readLinks } from '../../host/observe.ts';
import { rewriteFile } from '../../host/rewrite-file.ts';
import { formatInterfaceAddress } from '../../host/state.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Log } from '../../observe/log.ts';
import { type BridgeFacts, bridgeDrift, DEFAULT_BRIDGE } from './bridge-drift.ts';
import { leaseKeys, mergeDaemonJson } from './daemon-json.ts';
import { DockerApi } from './docker-api.ts';
import type { Look } from './docker-setup.ts';
import { DROP_IN } from './drop-in.ts';
import { isAway } from './http.ts';
import { optionsOfNetwork } from './network-plan.ts';
import { dockerPresence } from './presence.ts';
import { type DockerSettings, dockerSettings } from './settings.ts';

const RESTART = 'systemctl restart docker';

/** The addresses of docker0 with their lengths, but for link-local ones; `undefined` where there is no such bridge. */
export async function bridgeAddresses(): Promise<readonly string[] | undefined> {
  const link = (await readLinks()).find(({ ifname }) => ifname === DEFAULT_BRIDGE);
  return link && addressesOf(link).map(formatInterfaceAddress);
}

/** What docker0 has, while a dockerd runs; `undefined` where there is none of both: nothing is wrong then. */
export async function observeBridge(options: Options): Promise<BridgeFacts | undefined> {
  const socketPath = options.flags['docker-socket'];
  const addresses = await bridgeAddresses();
  // The bridge outlives dockerd, and is set right by the next one.
  if (addresses === undefined || (await dockerPresence(socketPath)) !== 'running') return undefined;
  return { addresses, mtu: await mtuOfContainers(socketPath) };
}

async function mtuOfContainers(socketPath: string): Promise<number | undefined> {
  try {
    const api = await DockerApi.connect(socketPath);
    const [network] = await api.networks('bridge');
    return network && optionsOfNetwork(network).mtu;
  } catch (error) {
    if (isAway(error)) return undefined;
    throw error;
  }
}

/** Compares docker0 with the lease, for `--docker=options` and `--docker=daemon-json`, and keeps the file of the latter. */
export function bridgeLook(options: Options, log: Log): Look {
  return async (subnet) => {
    const settings = dockerSettings(subnet);
    if (settings === undefined) return {};
    if (options.flags.docker === 'daemon-json') keepDaemonJson(options, settings, log);
    const facts = await observeBridge(options);
    const problem = facts && bridgeProblem(options, settings, facts);
    return problem === undefined ? {} : { problem };
  };
}

/** What is wrong with docker0, and the command that mends it. */
export function bridgeProblem(
  options: Options,
  settings: DockerSettings,
  facts: BridgeFacts,
): string | undefined {
  const drift = bridgeDrift(settings, facts);
  if (drift !== undefined) return `${drift}: ${mendingCommand(options)}`;
  const command = settings.subnets.map(forwardingCommand).find((one) => one !== undefined);
  if (command === undefined) return undefined;
  return (
    `forwarding is off on ${DEFAULT_BRIDGE}, which Docker switches on when it starts: its containers reach no other ` +
    `host: ${command}`
  );
}

/** `undefined` where it is on. */
function forwardingCommand({ family }: Prefix): string | undefined {
  if (family === 6) return forwardsIpv6(DEFAULT_BRIDGE) ? undefined : ipv6ForwardingCommand(DEFAULT_BRIDGE);
  const isOff = readIfThere(`/proc/sys/net/ipv4/conf/${DEFAULT_BRIDGE}/forwarding`)?.trim() === '0';
  return isOff ? `sysctl -w net.ipv4.conf.${DEFAULT_BRIDGE}.forwarding=1` : undefined;
}

/** dockerd reads it when it starts: until then the bridge differs, and that is what is said. */
function keepDaemonJson({ flags }: Options, settings: DockerSettings, log: Log): void {
  const path = flags['docker-config-file'];
  const before = readIfThere(path);
  const text = mergeDaemonJson(before, path, leaseKeys(settings));
  if (text === before) return;
  rewriteFile(path, text);
  log.info(`wrote this host's subnet into ${path}`);
}

/** A restart makes it right where dockerd is told the subnet; elsewhere it has to be told first. */
function mendingCommand({ flags, names }: Options): string {
  if (flags.docker === 'options' && existsSync('/run/systemd/system') && !existsSync(DROP_IN))
    return `corduroy docker configure --how options --restart${names.commandSuffix}`;
  return RESTART;
}
