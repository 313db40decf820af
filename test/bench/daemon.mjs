// The daemon's own cost: how fast it is ready, and how much memory it keeps. `node test/bench/daemon.mjs [--json] [--rounds N]`
// Prints median and spread over the rounds. Needs root and a build (make bench does both).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Lab } from '../../dist/lab/lab.js';
import { labConfig } from '../../dist/lab/network.js';
import { endAllIn, inNamespace, startInNamespace } from '../../dist/lab/processes.js';
import { underlay } from '../../dist/lab/topology.js';

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, rounds: { type: 'string', default: '7' } },
});
const rounds = Number(values.rounds);
const LIMITS = { 'ready after etcd answers, ms': 1000, 'daemon resident, MB': 100 };

// Prints the time of day, in milliseconds, of the first answer of etcd.
const FIRST_ANSWER = `
  const { get } = require('node:http');
  const ask = () => get(process.argv[1] + '/health', (r) => { r.resume(); r.statusCode === 200 ? console.log(Date.now()) : setTimeout(ask, 5); })
    .on('error', () => setTimeout(ask, 5));
  ask();`;

const spec = { name: `b${process.pid % 1e6}`, config: labConfig(), hostFamilies: [4], links: 1, mtu: 1500 };
const lab = new Lab(spec, resolve('dist'));
const measured = {};
const record = (name, value) => {
  measured[name] = [...(measured[name] ?? []), value];
};

process.on('SIGINT', () => process.exit(130));
try {
  await lab.start();
  const host = await lab.prepareHost(1);
  const { namespace, etcd } = underlay(lab.spec.name);
  const [etcdPid] = (await output('ip', ['netns', 'pids', namespace])).split('\n');
  const etcdCommand = readFileSync(`/proc/${etcdPid}/cmdline`, 'utf8').split('\0').slice(0, -1);

  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`\rround ${round + 1} of ${rounds}`);
    const started = Date.now();
    lab.startDaemon(host);
    const { pid, engine } = await lab.untilReady(host);
    record('start of process to ready, ms', Date.now() - started);
    await sleep(1500);
    record('daemon resident, MB', resident(pid));
    record('dgram engine resident, MB', resident(engine.pid));
    await runOn(host, ['corduroy', 'down', '--release']);

    // A daemon that is there first, and an etcd that comes up three seconds later.
    await endAllIn(namespace);
    lab.startDaemon(host);
    await sleep(3000);
    const [program, ...words] = inNamespace(namespace, [process.execPath, '-e', FIRST_ANSWER, etcd]);
    const watching = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const answered = once(createInterface({ input: watching.stdout }), 'line');
    startInNamespace(namespace, etcdCommand, '/dev/null', lab.environment());
    await lab.untilReady(host);
    const ready = Date.now();
    record('ready after etcd answers, ms', ready - Number((await answered)[0]));
    await runOn(host, ['corduroy', 'down', '--release']);
  }
} finally {
  await Lab.down(lab.spec.name);
}
process.stderr.write('\r');

const results = Object.entries(measured).map(([name, all]) => {
  const sorted = all.toSorted((one, other) => one - other);
  return {
    name,
    median: sorted[sorted.length >> 1],
    min: sorted[0],
    max: sorted.at(-1),
    limit: LIMITS[name],
  };
});
if (values.json) {
  console.log(JSON.stringify({ schema: 1, rounds, results }, undefined, 2));
} else {
  console.log(`the daemon alone, ${rounds} rounds`);
  for (const { name, median, min, max, limit } of results) {
    const promise = limit === undefined ? '' : `   (promised: below ${limit})`;
    console.log(
      `${name.padEnd(32)} median ${format(median)}   min ${format(min)}   max ${format(max)}${promise}`,
    );
  }
}

function format(value) {
  return value.toFixed(Number.isInteger(value) ? 0 : 1).padStart(6);
}

function resident(pid) {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1000;
}

async function runOn(host, command) {
  const [program, ...words] = inNamespace(host, command);
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'], env: lab.environment(host) });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`);
}

async function output(program, words) {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  await once(child, 'close');
  return text;
}
