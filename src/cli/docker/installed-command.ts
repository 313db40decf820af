import { existsSync } from 'node:fs';
import { dockerCommand, type UnitCommand } from '../../bridge/docker/drop-in.ts';
import { CorduroyError } from '../../errors.ts';
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
