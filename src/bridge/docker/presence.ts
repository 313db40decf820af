import { existsSync } from 'node:fs';
import { readIfThere } from '../../host/atomic-file.ts';
import { run } from '../../host/exec.ts';
import { isRunning } from '../../host/is-running.ts';

/** `starting`: it is worth another look soon. */
export type Presence = 'running' | 'starting' | 'away';

/** The socket of Docker's own units, under both of its names. */
const ACTIVATED = ['/run/docker.sock', '/var/run/docker.sock'];

/**
 * Whether there is a dockerd to talk to. It is not asked itself: under systemd its socket is there without it, and whoever
 * connects to that starts a dockerd that an operator may have stopped.
 */
export async function dockerPresence(socketPath: string): Promise<Presence> {
  if (!existsSync(socketPath)) return 'away';
  const pid = Number(readIfThere(socketPath.replace(/\.sock$/, '.pid')));
  if (Number.isInteger(pid) && pid > 0 && isDockerd(pid)) return 'running';
  // Nobody else listens in dockerd's place: a connection that is refused tells that it is away.
  if (!ACTIVATED.includes(socketPath) || !existsSync('/run/systemd/system')) return 'running';
  const { stdout } = await run('systemctl', ['is-active', 'docker.service'], { allowFailure: true });
  const state = stdout.trim();
  if (state === 'active' || state === 'reloading') return 'running';
  return state === 'activating' ? 'starting' : 'away';
}

/** A dockerd that was killed leaves its process id behind, which may be another program's by now. */
function isDockerd(pid: number): boolean {
  return isRunning(pid) && readIfThere(`/proc/${pid}/comm`)?.trim() === 'dockerd';
}
