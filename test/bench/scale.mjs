// What a large cluster costs: one daemon with thousands of peers, leases that change all the time, a thousand hosts against
// one etcd, and a daemon that has nothing to do. `node test/bench/scale.mjs --help`. Needs root and a build (make bench).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, loadavg, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { choice, count, readBenchOptions } from './options.mjs';
import { loadBuild, NETWORK } from './scale/cluster.mjs';
import { asText, promisesOf } from './scale/report.mjs';

const PARTS = ['start', 'changes', 'idle', 'hosts'];
const HELP = `Usage: node test/bench/scale.mjs [options]

Measures, with one real daemon and one real etcd in network namespaces:
  start    from the start of the daemon to complete routes, and its memory, with thousands of leases in etcd
  changes  from etcd's answer to a write until the data plane has it, while 100 leases change a second
  idle     etcd requests and CPU of a daemon that has nothing to do
  hosts    many simulated hosts that join, renew and follow each other: what etcd does for them

  --parts LIST      only these: ${PARTS.join(',')}
  --peers N         leases in etcd beside the daemon's own (default 5000, at most 8000)
  --rounds N        of start and changes (default 3)
  --seconds S       of each round of changes, and of each phase of hosts (default 15)
  --idle-seconds S  (default 60)
  --hosts N         simulated hosts (default 1000, at most 4000)
  --dist FOLDER     the build to measure (default dist)
  --json            print the report as JSON
  --help            print this

With the defaults it takes about four minutes. Exit codes: 0, also when a promise is missed; 1 when something could not be
measured, 2 wrong usage.
`;
const MEASURE = fileURLToPath(new URL('scale/measure.mjs', import.meta.url));

const options = readOptions();
const build = await loadBuild(options.dist);
const config = build.labConfig({ network: NETWORK });
const spec = { name: `s${process.pid % 1e6}`, config, hostFamilies: [4], links: 1, mtu: 1500 };
const lab = new build.Lab(spec, options.dist);
const machine = {
  kernel: release(),
  processors: cpus().length,
  busyBefore: loadavg()[0] / cpus().length,
};
let measuring;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => measuring?.kill('SIGTERM'));
let results;
try {
  await lab.start();
  await lab.prepareHost(1);
  results = await measure();
} catch (error) {
  process.stderr.write(`scale: ${error.stack}\n`);
} finally {
  await build.Lab.down(lab.spec.name);
}
if (results === undefined) process.exit(1);
const report = { schema: 1, machine, options, results, promises: promisesOf(results) };
process.stdout.write(`${options.json ? JSON.stringify(report, undefined, 2) : asText(report)}\n`);

/** In the namespace of etcd, where everything that speaks with it has to be. */
async function measure() {
  const settings = JSON.stringify({ ...options, lab: lab.spec.name });
  const { namespace } = build.underlay(lab.spec.name);
  const [program, ...words] = build.inNamespace(namespace, [process.execPath, MEASURE, settings]);
  measuring = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  measuring.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  const [code, signal] = await once(measuring, 'close');
  if (code !== 0) throw new Error(`the measurement ended with ${code ?? signal}`);
  return JSON.parse(text);
}

function readOptions() {
  const defaults = { peers: '5000', rounds: '3', seconds: '15', 'idle-seconds': '60', hosts: '1000' };
  return readBenchOptions({
    script: 'scale.mjs',
    help: HELP,
    options: { parts: PARTS.join(','), ...defaults },
    read: ({ parts, peers, rounds, seconds, 'idle-seconds': idleSeconds, hosts }) => ({
      parts: choice('--parts', parts, PARTS),
      peers: count('--peers', peers, 8000),
      rounds: count('--rounds', rounds, 100),
      seconds: count('--seconds', seconds, 600),
      idleSeconds: count('--idle-seconds', idleSeconds, 3600),
      hosts: count('--hosts', hosts, 4000),
    }),
  });
}
