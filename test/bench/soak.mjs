// Traffic of all kinds through two native engines, whose tables change all the time: does their memory stay, and is every
// packet that gets lost counted by somebody? `node test/bench/soak.mjs --help`. Needs root and a build (make soak).
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ENGINE_MTU, loadBuild, startEngines } from './datapath/engines.mjs';
import { removeEverything } from './datapath/processes.mjs';
import { buildWorld } from './datapath/topology.mjs';
import { difference, engineCounters, kernelDrops } from './soak/counters.mjs';
import { startSwaps } from './soak/route-swaps.mjs';
import { compileLoad, runTraffic } from './soak/traffic.mjs';
import { judge } from './soak/verdict.mjs';

const HELP = `Usage: node test/bench/soak.mjs [options]

Sends UDP of three sizes, pings and TCP both ways between two hosts (network namespaces) with native engines, while
their routing tables are exchanged every 100 ms. Needs root and a build.

  --seconds N    how long (default 600; at least 20)
  --dist FOLDER  the build (default dist)
  --help         print this

Exit codes: 0; 1 when an engine's memory grew by more than 1 MB after the first minute (of a short run: after its first
third), or when packets are missing that no counter has; 2 wrong usage.
`;
const REPORT_SECONDS = 30;
const SAMPLE_MS = 5000;

const { seconds, dist } = readOptions();
const folder = mkdtempSync(join(tmpdir(), 'cdb-'));
process.on('exit', () => {
  removeEverything();
  rmSync(folder, { recursive: true, force: true });
});
process.on('SIGINT', () => process.exit(130)).on('SIGTERM', () => process.exit(143));

try {
  process.exit((await soak()) ? 0 : 1);
} catch (error) {
  process.stderr.write(`soak: ${error.stack}\n`);
  process.exit(1);
}

async function soak() {
  const load = compileLoad(folder);
  const build = await loadBuild(dist);
  const hosts = await buildWorld('soak', ENGINE_MTU);
  const engines = await startEngines(build, hosts, {
    engine: 'native',
    offload: true,
    folder,
    label: 'soak',
  });
  const clients = await Promise.all(
    engines.map(({ socketPath }) => build.connectDatapath(socketPath, { timeoutMs: 10_000 })),
  );
  // Neighbours are found, or the first packets of each flow wait for them in short queues.
  await runTraffic(hosts, load, 1);
  const before = { kernel: await kernelDrops(hosts), engines: await engineCounters(clients) };

  const swapping = startSwaps(build, hosts, clients);
  const memory = watchMemory(engines, () => `tables set ${swapping.swaps()}`);
  const traffic = await runTraffic(hosts, load, seconds);
  await swapping.stop();
  memory.stop();

  const after = { kernel: await kernelDrops(hosts), engines: await engineCounters(clients) };
  const { lines, isGood } = judge({
    ...traffic,
    kernel: difference(before.kernel, after.kernel),
    engine: difference(before.engines.drops, after.engines.drops),
    between: [
      between(before.engines.traffic, after.engines.traffic, 0, 1),
      between(before.engines.traffic, after.engines.traffic, 1, 0),
    ],
    memory: memory.growth(),
  });
  print([`after ${seconds} s, with ${swapping.swaps()} tables set:`, ...lines].join('\n'));
  return isGood;
}

/** What one engine has sent to the other, and what that has taken. */
function between(before, after, from, to) {
  return {
    from: from + 1,
    to: to + 1,
    sent: after[from].sent - before[from].sent,
    received: after[to].received - before[to].received,
  };
}

/** Samples the resident memory, and says it every half minute. */
function watchMemory(engines, more) {
  const began = performance.now();
  const baselineAfter = Math.min(60, seconds / 3);
  const samples = [];
  const sample = () => {
    const elapsed = (performance.now() - began) / 1000;
    samples.push({ elapsed, kilobytes: engines.map(({ pid }) => residentOf(pid)) });
    return samples.at(-1);
  };
  let said = 0;
  const timer = setInterval(() => {
    const { elapsed, kilobytes } = sample();
    if (elapsed < said + REPORT_SECONDS) return;
    said = elapsed;
    print(`${Math.round(elapsed)} s: memory ${kilobytes.join(' and ')} kB, ${more()}`);
  }, SAMPLE_MS);
  return {
    stop: () => {
      clearInterval(timer);
      sample();
    },
    growth: () => {
      const baseline = samples.find(({ elapsed }) => elapsed >= baselineAfter) ?? samples[0];
      const last = samples.at(-1);
      return engines.map((_, index) => ({
        since: Math.round(baseline.elapsed),
        before: baseline.kilobytes[index],
        after: last.kilobytes[index],
      }));
    },
  };
}

function residentOf(pid) {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

function print(text) {
  process.stdout.write(`${text}\n`);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: 'string', default: '600' },
        dist: { type: 'string', default: 'dist' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const duration = Number(values.seconds);
    if (!Number.isInteger(duration) || duration < 20 || duration > 86_400)
      throw new Error(`--seconds ${values.seconds}: give a whole number from 20 to 86400`);
    if (process.getuid() !== 0) throw new Error('this needs root, for network namespaces: sudo make soak');
    return { seconds: duration, dist: resolve(values.dist) };
  } catch (error) {
    process.stderr.write(`${error.message}\nSee: node test/bench/soak.mjs --help\n`);
    process.exit(2);
  }
}
