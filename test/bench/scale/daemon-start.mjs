// From the start of the daemon's process until its data plane holds a route to every peer; and the memory it takes.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineProbe } from './engine-probe.mjs';
import { cpuSeconds, memory } from './processes.mjs';

const PATIENCE = 60_000;
const POLL = 5;

/** Starts the daemon where none runs. @returns figures, and what is needed to go on with it */
export async function startDaemon(build, lab, host, peers) {
  const socketPath = join(host.runDir, 'datapath.sock');
  const started = performance.now();
  // As Lab.startDaemon, which does not tell the process id.
  const command = ['corduroyd', '--bridge', build.LAB_BRIDGE];
  const pid = build.startInNamespace(host.namespace, command, host.logFile, lab.environment(host));
  const probe = await EngineProbe.open(socketPath, build, PATIENCE);
  while ((await probe.routes()) !== peers) {
    if (performance.now() - started > PATIENCE) throw new Error(`not ${peers} routes; see ${host.logFile}`);
    await sleep(POLL);
  }
  const complete = performance.now() - started;
  const { peak, resident } = memory(pid);
  const cpu = cpuSeconds(pid);
  return { pid, probe, figures: { complete, resident, peak, cpu } };
}
