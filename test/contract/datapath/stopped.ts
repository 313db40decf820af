import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const WAIT_MS = 5000;

/** Stops an engine, and lets it go on when `meanwhile` is done: what has come by then is one batch to it. */
export async function whileStopped<T>(pid: number, meanwhile: () => Promise<T>): Promise<T> {
  process.kill(pid, 'SIGSTOP');
  try {
    for (const deadline = performance.now() + WAIT_MS; !isStopped(pid); await sleep(2))
      if (performance.now() > deadline) throw new Error(`process ${pid} does not stop`);
    return await meanwhile();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Whether each of its threads is. */
function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((thread) =>
    /\) [Tt] /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')),
  );
}
