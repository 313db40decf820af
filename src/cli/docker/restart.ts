import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { bridgeDrift, otherBridgeAddress } from '../../bridge/docker/bridge-drift.ts';
import { bridgeAddresses, observeBridge } from '../../bridge/docker/bridge-look.ts';
import type { Configuration } from '../../bridge/docker/configuration.ts';
import { ONE_START } from '../../bridge/docker/drop-in.ts';
import { bridgeAddressesOf } from '../../bridge/docker/settings.ts';
import { findRulesInTheWay } from '../../bridge/foreign-rules.ts';
import { parseObject } from '../../config/edit-config-file.ts';
import type { Options } from '../../config/options.ts';
import { writeAtomically } from '../../host/atomic-file.ts';
import { run } from '../../host/exec.ts';
import { addressesOf, readLinks } from '../../host/observe.ts';
import { Prefix } from '../../net/prefix.ts';
import { settingsNow } from './files.ts';
import { installedCommand } from './installed-command.ts';

/** Milliseconds that Docker may take to start with all its containers. */
const RESTART_TIMEOUT = 180_000;
/** Those that end a command in the middle. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * What dockerd needs to have what the files say. `other-address`: docker0 has to give up this host's subnet. dockerd keeps
 * the last address of its bridge in its own store, so that it takes that one even after docker0 was deleted, until it was
 * once started with another.
 */
export type Restart = 'none' | 'plain' | 'other-address';

export async function restartFor(
  now: Configuration,
  next: Configuration,
  options: Options,
): Promise<Restart> {
  const changes = now.dropIn !== next.dropIn || now.daemonJson !== next.daemonJson;
  const settings = settingsNow(options);
  if (usesBridge(next)) {
    if (changes) return 'plain';
    const facts = await observeBridge(options);
    if (settings === undefined || facts === undefined) return 'none';
    const isWrong =
      bridgeDrift(settings, facts) !== undefined ||
      (await findRulesInTheWay(options, settings.subnets, !settings.masquerade)).length > 0;
    return isWrong ? 'plain' : 'none';
  }
  const addresses = await bridgeAddresses();
  const hasOurs =
    settings === undefined
      ? usesBridge(now)
      : bridgeAddressesOf(settings).some((address) => addresses?.includes(address) === true);
  const isTold = 'bip' in parseObject(next.daemonJson, options.flags['docker-config-file']);
  if (addresses !== undefined && hasOurs) return isTold ? 'plain' : 'other-address';
  return changes ? 'plain' : 'none';
}

function usesBridge({ settings }: Configuration): boolean {
  return settings.docker === 'options' || settings.docker === 'daemon-json';
}

export async function restartDocker(restart: Restart): Promise<void> {
  // Of a run that was killed.
  await removeOneStart();
  if (restart === 'none') return;
  // systemd takes three starts in a minute for a fault of Docker's.
  await run('systemctl', ['reset-failed', 'docker.service'], { allowFailure: true });
  const start = () => run('systemctl', ['restart', 'docker.service'], { timeout: RESTART_TIMEOUT });
  if (restart === 'plain') await start();
  else await withOtherAddress(start);
}

async function withOtherAddress(start: () => Promise<unknown>): Promise<void> {
  const command = await installedCommand();
  if (command === undefined) return;
  const taken = (await readLinks()).flatMap(addressesOf).map(({ ip, length }) => Prefix.of(ip, length));
  const lines = [
    '[Service]',
    'ExecStart=',
    `ExecStart=${command.text} --bip=${otherBridgeAddress(taken)}`,
    '',
  ];
  // Were this ended in between, dockerd would have that address until the next boot. Ctrl-C ends systemctl all the same.
  const hold = () => undefined;
  for (const signal of SIGNALS) process.on(signal, hold);
  try {
    writeAtomically(ONE_START, lines.join('\n'), 0o644);
    await daemonReload();
    await start();
  } finally {
    await removeOneStart();
    for (const signal of SIGNALS) process.off(signal, hold);
  }
}

async function removeOneStart(): Promise<void> {
  if (!existsSync(ONE_START)) return;
  rmSync(ONE_START);
  if (readdirSync(dirname(ONE_START)).length === 0) rmdirSync(dirname(ONE_START));
  await daemonReload();
}

async function daemonReload(): Promise<void> {
  await run('systemctl', ['daemon-reload'], { timeout: 60_000 });
}

/** Lines that say what is left to do. */
export function formatRestart(restart: Restart): string[] {
  const what: Readonly<Record<Restart, string[]>> = {
    none: [],
    plain: ['what remains: restart Docker, its containers stop: systemctl restart docker'],
    'other-address': [
      "what remains: docker0 still has this host's subnet, and dockerd would take it again: run this again with " +
        '--restart, which restarts Docker once with another address; its containers stop',
    ],
  };
  return what[restart];
}
