// The measuring process of test/bench/scale.mjs, inside the network namespace of the lab's etcd, which nobody else reaches.
// Arguments as JSON: { dist, lab, parts, rounds, peers, hosts, seconds, idleSeconds }. Prints the figures as one line of JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { changeLeases } from './changes.mjs';
import { Cluster, loadBuild } from './cluster.mjs';
import { startDaemon } from './daemon-start.mjs';
import { measureIdle } from './idle.mjs';
import { measureManyHosts } from './many-hosts.mjs';
import { memory } from './processes.mjs';

const options = JSON.parse(process.argv[2]);
const { dist, parts } = options;
const build = await loadBuild(dist);
const lab = build.Lab.find(options.lab, dist);
const { etcd: endpoint } = build.underlay(options.lab);
const host = build.labHost(lab.spec, 1);
/** Seconds after which a daemon has nothing left to do from its start. */
const SETTLE = 5;
const RATE = 100;

const results = {};
if (parts.includes('idle') || parts.includes('start') || parts.includes('changes')) {
  await withPeers();
}
if (parts.includes('hosts')) {
  results.hosts = await measureManyHosts({ ...options, endpoint, progress });
}
process.stdout.write(`${JSON.stringify(results)}\n`);
process.exit(0);

/** One daemon and the leases of thousands of others. */
async function withPeers() {
  const store = build.openEtcdStore({ endpoints: [endpoint] });
  const cluster = new Cluster(build, store, options.peers);
  progress(`${options.peers} leases are written`);
  await cluster.write();

  results.start = [];
  results.changes = [];
  for (let round = 0; round < options.rounds; round++) {
    progress(`start of the daemon, round ${round + 1} of ${options.rounds}`);
    const daemon = await startDaemon(build, lab, host, options.peers);
    const status = await lab.untilReady(host);
    daemon.enginePid = status.engine.pid;
    await sleep(SETTLE * 1000);
    const settled = memory(daemon.pid);
    results.start.push({ ...daemon.figures, settled: settled.resident, peak: settled.peak });
    if (parts.includes('changes')) {
      progress(`${RATE} changes a second, round ${round + 1} of ${options.rounds}`);
      const first = round * RATE * options.seconds;
      const changes = await changeLeases(cluster, daemon, { rate: RATE, seconds: options.seconds, first });
      const { resident, peak } = memory(daemon.pid);
      results.changes.push({ ...changes, resident, peak });
    }
    daemon.probe.close();
    if (parts.includes('idle') && round === options.rounds - 1) {
      progress(`a quiet daemon, ${options.idleSeconds} s`);
      await sleep(SETTLE * 1000);
      results.idle = await measureIdle(endpoint, daemon, options.idleSeconds);
    }
    await runOnHost(['corduroy', 'down', '--release']);
  }
  await cluster.remove();
  await store.close();
}

function progress(text) {
  process.stderr.write(`${text}\n`);
}

async function runOnHost(command) {
  const [program, ...words] = build.inNamespace(host.namespace, command);
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'], env: lab.environment(host) });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`);
}
