import type { Options } from '../config/options.ts';
import { CorduroyError } from '../errors.ts';
import type { Log } from '../observe/log.ts';
import { CniSetup } from './cni/cni-setup.ts';
import type { ContainerSetup } from './container-setup.ts';
import { bridgeLook } from './docker/bridge-look.ts';
import { DockerSetup } from './docker/docker-setup.ts';
import { networkLook } from './docker/network-look.ts';
import { ForeignRules } from './foreign-rules.ts';
import { RouterGuard } from './router-guard.ts';

/**
 * What the settings ask to be kept in step with the lease.
 * @throws CorduroyError `usage` when they give the subnet to two bridges
 */
export function containerSetups(options: Options, log: Log): ContainerSetup[] {
  const { flags } = options;
  const { docker, bridge } = flags;
  if (docker !== 'off' && bridge !== undefined) {
    const text = `--docker ${docker} and --bridge ${bridge} each give this host's subnet to a bridge: drop one of them`;
    throw new CorduroyError('usage', text);
  }
  const connectsByOthers = docker !== 'off' || flags['cni-conflist'] !== undefined;
  return [
    // First: before what it guards against.
    ...(connectsByOthers ? [new RouterGuard(log, () => performance.now())] : []),
    ...(docker === 'off'
      ? []
      : [new DockerSetup(docker === 'network' ? networkLook(options, log) : bridgeLook(options, log))]),
    ...(flags['cni-conflist'] === undefined ? [] : [new CniSetup(flags, log)]),
    new ForeignRules(options, () => performance.now()),
  ];
}
