// How fast each backend is beside plain routing, with real daemons, in one run. `node test/bench/backends.mjs --help`
// Needs root and a build (make bench does both).
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { BACKENDS, loadLabs, PLAIN, setUpLab } from './backends/labs.mjs';
import { Figures, spreadOf } from './datapath/figures.mjs';
import { COLUMNS, compileUdpLoad, MEASURES, othersShare, probe, take, warmUp } from './datapath/measures.mjs';
import { removeEverything } from './datapath/processes.mjs';
import { aligned } from './datapath/report.mjs';
import { choice, count, readBenchOptions } from './options.mjs';

const ids = BACKENDS.map(({ id }) => id);
const HELP = `Usage: node test/bench/backends.mjs [options]

Measures each backend between two hosts (network namespaces) with real daemons, beside plain routing (${PLAIN}): one TCP
stream, and a packet of 64 bytes there and back. Needs root and a build.

  --rounds N       rounds, each over all backends (default 5)
  --seconds S      for each TCP measurement, a whole number; half of it for round trips (default 2)
  --backends LIST  only these: ${ids.join(',')}
  --dist FOLDER    the build to measure (default dist)
  --json           print the report as JSON
  --help           print this

Exit codes: 0; 1 when something could not be measured, 2 wrong usage.
`;
const MEASURED = MEASURES.filter(({ columns }) => ['tcp', 'p50'].includes(columns[0]));
const SHOWN = ['tcp', 'p50', 'cpu'];

const options = readOptions();
const folder = mkdtempSync(join(tmpdir(), 'cdb-'));
process.on('exit', () => {
  removeEverything();
  rmSync(folder, { recursive: true, force: true });
});
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => {
    stopped = true;
  });

const tools = {
  udpLoad: compileUdpLoad(folder),
  seconds: options.seconds,
  udpMs: Math.max(500, options.seconds * 500),
};
const labs = await loadLabs(options.dist);
const busyBefore = await othersShare();
const figures = new Figures();
const failures = [];
const up = [];
try {
  for (const backend of BACKENDS.filter(({ id }) => options.backends.includes(id))) await bringUp(backend);
  for (let round = 0; round < options.rounds && !stopped; round++) {
    // A measurement goes over all backends before the next, so that what is compared is close in time.
    for (const measure of MEASURED) {
      for (const path of rotated(up, round)) {
        if (!stopped) await takeInto(measure, path, round);
      }
    }
  }
} finally {
  for (const { remove } of up) await remove();
}
const report = makeReport();
console.log(options.json ? JSON.stringify(report, undefined, 2) : asText(report));
process.exit(failures.length === 0 && !stopped ? 0 : 1);

/** A backend that cannot be had is skipped, aloud. */
async function bringUp(backend) {
  process.stderr.write(`setting up ${backend.name}\n`);
  try {
    const path = await setUpLab(labs, backend);
    up.push(path);
    await probe(path, tools);
    await warmUp(path, tools);
  } catch (error) {
    failures.push(`${backend.name}: ${error.message}`);
    process.stderr.write(`skipped ${failures.at(-1)}\n`);
  }
}

async function takeInto(measure, path, round) {
  process.stderr.write(`round ${round + 1}: ${path.name}: ${measure.columns.join(', ')}\n`);
  try {
    figures.add(path.id, round, await take(measure, path, tools));
  } catch (error) {
    failures.push(`${path.name}, ${measure.columns.join(' and ')}, round ${round + 1}: ${error.message}`);
  }
}

/** JSON, schema 1: { schema, rounds, seconds, machine, backends: [{ id, name, by, mtu, figures, ratios }], failures } */
function makeReport() {
  const spreads = (valuesOf) =>
    Object.fromEntries(
      SHOWN.flatMap((column) => {
        const spread = spreadOf(valuesOf(column));
        return spread === undefined ? [] : [[column, spread]];
      }),
    );
  return {
    schema: 1,
    rounds: options.rounds,
    seconds: options.seconds,
    machine: { kernel: release(), processors: cpus().length, busyBefore },
    backends: up.map(({ id, name, by, mtu }) => ({
      id,
      name,
      by,
      mtu,
      figures: spreads((column) => figures.values(id, column)),
      ratios: id === PLAIN ? {} : spreads((column) => figures.ratios(column, id, PLAIN)),
    })),
    failures,
  };
}

function asText({ rounds, seconds, machine, backends }) {
  const columns = COLUMNS.filter(({ id }) => SHOWN.includes(id));
  const cell = (spread, digits) =>
    spread === undefined
      ? ''
      : `${spread.median.toFixed(digits)} (${spread.min.toFixed(digits)}…${spread.max.toFixed(digits)})`;
  const header = columns.flatMap(({ name, unit }) => [`${name}, ${unit}`, `/ ${PLAIN}`]);
  const rows = backends.map(({ name, by, mtu, figures: own, ratios }) => [
    name,
    by,
    String(mtu),
    ...columns.flatMap(({ id, digits }) => [cell(own[id], digits), cell(ratios[id], 2)]),
  ]);
  return [
    `backends: ${machine.processors} processors, Linux ${machine.kernel}, ${Math.round(100 * machine.busyBefore)} % in use by others before`,
    `median (min…max) of ${rounds} interleaved rounds; TCP: iperf3, ${seconds} s; ratios within a round`,
    '',
    ...aligned([['', 'carried by', 'MTU', ...header], ...rows]),
    ...(failures.length === 0 ? [] : ['', 'not measured:', ...failures.map((line) => `  ${line}`)]),
  ].join('\n');
}

function rotated(list, by) {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

function readOptions() {
  return readBenchOptions({
    script: 'backends.mjs',
    help: HELP,
    options: { rounds: '5', seconds: '2', backends: ids.join(',') },
    read: ({ rounds, seconds, backends }) => ({
      rounds: count('--rounds', rounds, 9999),
      seconds: count('--seconds', seconds, 9999),
      backends: choice('--backends', backends, ids),
    }),
  });
}
