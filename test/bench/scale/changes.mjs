// How long after etcd's answer to a write the data plane forwards by it, while leases change all the time.
import { setTimeout as sleep } from 'node:timers/promises';
import { peerAddresses } from './engine-probe.mjs';
import { cpuSeconds } from './processes.mjs';

/** Milliseconds between two looks at the engine's table; a change is seen that much too late at the most. */
const LOOK_EVERY = 5;
const PATIENCE = 5000;

/**
 * Every change gives a host a public address that none had before, so that seeing that address in the engine's table
 * proves that this very change is there.
 *
 * @returns latencies in milliseconds, ascending, and the share of a core that daemon and engine used
 */
export async function changeLeases(cluster, daemon, { rate, seconds, first = 0 }) {
  const writtenAt = new Map();
  const latencies = [];
  const cpu = () => ({ daemon: cpuSeconds(daemon.pid), engine: cpuSeconds(daemon.enginePid) });
  const before = cpu();
  const started = performance.now();
  let writing = true;
  const watching = watchTable(daemon.probe, writtenAt, latencies, () => writing);
  const writes = [];
  for (let number = 0; number < rate * seconds; number++) {
    const due = started + (number * 1000) / rate;
    if (due > performance.now()) await sleep(due - performance.now());
    writes.push(
      cluster.move(first + number).then((address) => {
        writtenAt.set(address, performance.now());
      }),
    );
  }
  await Promise.all(writes);
  writing = false;
  const elapsed = (performance.now() - started) / 1000;
  const after = cpu();
  const looks = await watching;
  return {
    latencies: latencies.toSorted((one, other) => one - other),
    lost: writtenAt.size,
    rate: writes.length / elapsed,
    looks,
    daemonCpu: (after.daemon - before.daemon) / elapsed,
    engineCpu: (after.engine - before.engine) / elapsed,
  };
}

/** Moves what has arrived from `writtenAt` to `latencies`, until nothing is left. @returns how often it looked */
async function watchTable(probe, writtenAt, latencies, isWriting) {
  let looks = 0;
  let deadline = Number.POSITIVE_INFINITY;
  while (isWriting() || writtenAt.size > 0) {
    if (!isWriting()) deadline = Math.min(deadline, performance.now() + PATIENCE);
    if (performance.now() > deadline) break;
    const payload = await probe.ask();
    const seen = performance.now();
    looks++;
    for (const address of peerAddresses(payload)) {
      const written = writtenAt.get(address);
      if (written === undefined) continue;
      latencies.push(seen - written);
      writtenAt.delete(address);
    }
    await sleep(LOOK_EVERY);
  }
  return looks;
}

/** @param sorted ascending */
export function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
