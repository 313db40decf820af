import { rmSync } from 'node:fs';
import type { Command } from 'commander';
import { wholeNumber } from '../config/command-line.ts';
import type { Options } from '../config/options.ts';
import { tearDown } from '../daemon/teardown.ts';
import { type FounderLayout, founderLayout, type HostLayout } from '../enroll/layout.ts';
import { runsSystemd } from '../enroll/units.ts';
import { CorduroyError, isCode } from '../errors.ts';

/** What `corduroy init` and `corduroy join` have in common. */
export function withSetUpOptions(command: Command): Command {
  return command
    .option('--force', 'also when this host is in another cluster: it leaves that one, and its subnet')
    .option(
      '--timeout <SECONDS>',
      'give up waiting for the daemon after this long',
      wholeNumber(1, 86_400),
      60,
    )
    .option('--json', 'print what came of it as JSON');
}

/** @throws CorduroyError `usage`: the units read what stands in its place, and nothing else */
export function requireDefaultFiles({ flags, names }: Options): void {
  const file = flags['config-file'];
  if (file === undefined || file === names.configFile) return;
  throw new CorduroyError(
    'usage',
    `the services of this host read ${names.configFile}, and not ${file}: leave --config-file out, or give --no-start`,
  );
}

/**
 * The files of the host that `corduroy init` is run on. Under systemd etcd's data is where its unit lets it write, whatever
 * the daemon's state-dir.
 */
export function founderFiles(
  { flags, names, stateDir }: Options,
  underSystemd: boolean = runsSystemd(),
): FounderLayout {
  const file = flags['config-file'] ?? names.configFile;
  return founderLayout(file, underSystemd && file === names.configFile ? names.stateDir : stateDir);
}

/**
 * Ends the daemon and the data plane, removes what they made, and forgets how to reach etcd. What the daemon remembers
 * of its etcd would be compared with another's. The lease is given back if etcd still takes it.
 */
export async function leaveCluster(options: Options, { ca, passwordFile }: HostLayout): Promise<void> {
  try {
    await tearDown(options, { release: true, force: false });
  } catch (error) {
    if (!isCode(error, 'no-daemon') && !isCode(error, 'daemon-refused')) throw error;
    await tearDown(options, { release: false, force: false });
  }
  for (const file of [ca, passwordFile]) rmSync(file, { force: true });
}
