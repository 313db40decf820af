import { mkdirSync, rmdirSync, symlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorduroyError } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import { startInNamespace } from './processes.ts';
import type { LabHost } from './topology.ts';

/** Where wireguard-go, and the kernel's tools with it, look for the socket NAME.sock of a device. */
const WIREGUARD_SOCKETS = '/run/wireguard';
/** Milliseconds. */
const TIMEOUT = 5000;

const SCRIPT = `mount -t tmpfs -o mode=0755 corduroy-lab ${WIREGUARD_SOCKETS} && echo $$ >"$1" && exec sleep infinity`;

/**
 * Gives a host mounts of its own: all hosts of a lab see one file system, and have WireGuard devices of one name. A mount
 * namespace lasts as long as a process in it: this one runs in the container's network namespace, since whoever ends all that runs
 * in the host's means the host's programs.
 */
export async function makeMounts({ container, mounts }: LabHost): Promise<void> {
  mkdirSync(WIREGUARD_SOCKETS, { recursive: true });
  const pidFile = `${mounts}.pid`;
  const log = `${mounts}.log`;
  const unshare = ['unshare', '--mount', '--propagation', 'slave', '--', 'sh', '-c', SCRIPT, 'sh', pidFile];
  startInNamespace(container.namespace, unshare, log, process.env);
  const deadline = performance.now() + TIMEOUT;
  for (;;) {
    const pid = readIfThere(pidFile)?.trim();
    if (pid) return symlinkSync(`/proc/${pid}/ns/mnt`, mounts);
    if (performance.now() > deadline)
      throw new CorduroyError('timeout', `no mount namespace could be made: ${readIfThere(log)?.trim()}`);
    await sleep(5);
  }
}

/** For when no lab is left. Does nothing while somebody has a socket there. */
export function removeMountPoint(): void {
  try {
    rmdirSync(WIREGUARD_SOCKETS);
  } catch (error) {
    if (!['ENOTEMPTY', 'EBUSY', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
