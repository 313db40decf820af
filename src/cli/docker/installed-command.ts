import { existsSync } from 'node:fs';
import { dockerCommand, type UnitCommand, wordsIn } from '../../bridge/docker/drop-in.ts';
import { CorduroyError } from '../../errors.ts';
import { readIfThere } from '../../host/atomic-file.ts';
import { run } from '../../host/exec.ts';

/**
 * dockerd's command line in docker.service, without what is Corduroy's.
 *
 * @returns `undefined` without systemd
 * @throws CorduroyError `usage` when there is no docker.service
 */
export async function installedCommand(): Promise<UnitCommand | undefined> {
  if (!existsSync('/run/systemd/system')) return undefined;
  const { code, stdout } = await run('systemctl', ['cat', '--no-pager', 'docker.service'], {
    allowFailure: true,
  });
  if (code !== 0)
    throw new CorduroyError(
      'usage',
      'there is no docker.service: install Docker first (Debian: apt-get install docker.io)',
    );
  return dockerCommand(stdout);
}

/** All that dockerd is started with: the command line, and what the unit's EnvironmentFiles put there. */
export async function wordsOf(command: UnitCommand): Promise<readonly UnitCommand[]> {
  const { stdout } = await run('systemctl', ['show', '-p', 'EnvironmentFiles', 'docker.service']);
  const files = [...stdout.matchAll(/^EnvironmentFiles=(\/.*) \(ignore_errors=\w+\)$/gm)];
  const words = files.flatMap(([, file = '']) => wordsIn({ text: readIfThere(file) ?? '', file }, command));
  return [command, ...words];
}
