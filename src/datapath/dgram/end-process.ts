/**
 * Ends the process at once, also while a read of the TUN is pending. process.exit would not: it waits for libuv's
 * threads, and one of them sits in read(2) on the TUN until a packet comes, which may be never. So the process ends by
 * a signal, of which there is no waiting:
 *
 * - `asked`: SIGTERM with its default action, which systemd takes for a clean end.
 * - `fault`: SIGKILL, which systemd takes for a failure (Restart=on-failure).
 *
 * Everything that has to be cleaned up has to be cleaned up before.
 */
export function endProcess(why: 'asked' | 'fault'): void {
  if (why === 'asked') {
    process.removeAllListeners('SIGTERM');
    process.kill(process.pid, 'SIGTERM');
  }
  // Also where SIGTERM is blocked or ignored.
  process.kill(process.pid, 'SIGKILL');
}
