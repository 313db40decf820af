// How fast the data path is, beside plain routing and kernel VXLAN, in one run. `node test/bench/datapath.mjs --help`
// Needs root and a build (make bench does both). A promise that is missed is said, and is no failure.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { asSvg } from './datapath/chart.mjs';
import { loadBuild, offloadStates } from './datapath/engines.mjs';
import { Figures, spreadOf } from './datapath/figures.mjs';
import {
  applies,
  COLUMNS,
  compileUdpLoad,
  MEASURES,
  othersShare,
  probe,
  take,
  warmUp,
} from './datapath/measures.mjs';
import { readOptions } from './datapath/options.mjs';
import { MANY_ROUTES, PATHS, setUpPath } from './datapath/paths.mjs';
import { removeEverything } from './datapath/processes.mjs';
import { judge, judgeManyRoutes } from './datapath/promises.mjs';
import { asText } from './datapath/report.mjs';

const options = readOptions();
const folder = mkdtempSync(join(tmpdir(), 'cdb-'));
const failures = [];
process.on('exit', () => {
  removeEverything();
  rmSync(folder, { recursive: true, force: true });
});
process.on('SIGINT', () => process.exit(130)).on('SIGTERM', () => process.exit(143));

const udpLoad = compileUdpLoad(folder);
const tools = toolsFor(options.seconds);
const context = { build: await loadBuild(options.dist), folder };
const busyBefore = await othersShare();
if (busyBefore > 0.1) {
  const percent = Math.round(busyBefore * 100);
  process.stderr.write(
    `the machine is ${percent} % in use by others: the figures will be low and spread wide\n`,
  );
}
const figures = new Figures();
const up = new Map();
const skipped = new Map();
const wanted = PATHS.filter(({ id }) => options.paths.includes(id));
const manyRoutesPairs = { rounds: 2 * options.rounds, seconds: Math.ceil(options.seconds / 2) };
const wantsRoutes = options.paths.includes(MANY_ROUTES.id);

for (const path of wanted) await bringUp(path);
for (let round = 0; round < options.rounds; round++) {
  // A measurement goes over all paths before the next, so that what is compared is close in time; each round begins
  // with another path, so that none is always the first.
  const paths = rotated([...up.values()], round);
  for (const measure of MEASURES.filter(isWanted)) {
    for (const path of paths) await takeInto(figures, measure, path, round, path.id);
  }
}
const routesFigures = wantsRoutes ? await measureManyRoutes() : new Figures();
progress('');

const report = await makeReport();
console.log(options.json ? JSON.stringify(report, undefined, 2) : asText(report));
if (options.svg !== undefined) writeFileSync(options.svg, asSvg(report));
process.exit(isComplete(report) ? 0 : 1);

/**
 * Two routes and 10 000, each with engines of its own, right after one another and in changing order. A small
 * difference is looked for: many short pairs show it better than a few long ones.
 */
async function measureManyRoutes() {
  const taken = new Figures();
  if (skipped.has('native')) {
    failures.push(`${MANY_ROUTES.name}: native, which it is held against, is not there`);
    return taken;
  }
  const native = PATHS.find(({ id }) => id === 'native');
  const few = up.get('native') ?? (await bringUp({ ...native, id: 'few-routes' }));
  const many = few && (await bringUp(MANY_ROUTES));
  if (few === undefined || many === undefined) return taken;
  const pair = [
    [few, 'few-routes'],
    [many, 'routes'],
  ];
  const measures = MEASURES.filter(({ columns }) => ['tcp', 'kpps', 'memory'].includes(columns[0])).filter(
    isWanted,
  );
  const short = toolsFor(manyRoutesPairs.seconds);
  for (let round = 0; round < manyRoutesPairs.rounds; round++) {
    for (const measure of measures) {
      for (const [path, id] of rotated(pair, round)) await takeInto(taken, measure, path, round, id, short);
    }
  }
  return taken;
}

/** A path that cannot be had is skipped, aloud. */
async function bringUp(path) {
  progress(`setting up ${path.name}`);
  try {
    const built = { ...path, ...(await setUpPath(path, context)) };
    await probe(built, tools);
    await warmUp(built, tools);
    up.set(path.id, built);
    return built;
  } catch (error) {
    progress('');
    process.stderr.write(`skipped ${path.name}: ${error.message}\n`);
    skipped.set(path.id, error.message);
    failures.push(`${path.name}: ${error.message}`);
    return undefined;
  }
}

/** Tries twice; what fails twice is a hole in this round. */
async function takeInto(into, measure, path, round, id, withTools = tools) {
  if (!applies(measure.columns[0], path)) return;
  progress(`round ${round + 1}: ${path.name}: ${measure.columns.join(', ')}`);
  let failure;
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      into.add(id, round, await take(measure, path, withTools));
      return;
    } catch (error) {
      failure = error;
    }
  }
  failures.push(`${path.name}, ${measure.columns.join(' and ')}, round ${round + 1}: ${failure.message}`);
}

function isWanted({ columns }) {
  return columns.some((column) => options.only.includes(column));
}

async function makeReport() {
  const columns = COLUMNS.filter(({ id }) => options.only.includes(id));
  const paths = [];
  for (const { id, name } of wanted) {
    const [engine] = up.get(id)?.engines ?? [];
    paths.push({
      id,
      name,
      // An engine that is gone by now takes no figures with it.
      offloads: engine && (await offloadStates(context.build, engine).catch((error) => [error.message])),
      skipped: skipped.get(id),
      figures: Object.fromEntries(
        columns.flatMap((column) => {
          const values = figures.values(id, column.id);
          return values.length === 0 ? [] : [[column.id, { ...spreadOf(values), rounds: values }]];
        }),
      ),
    });
  }
  return {
    schema: 1,
    rounds: options.rounds,
    seconds: options.seconds,
    machine: { kernel: release(), processors: cpus().length, busyBefore },
    columns: columns.map(({ id, name, unit, better }) => ({ id, name, unit, better })),
    paths,
    promises: judge(figures),
    manyRoutes: { ...manyRoutesPairs, promises: judgeManyRoutes(routesFigures) },
    failures,
  };
}

/** Whether everything that was asked for was measured at least once. */
function isComplete({ columns, paths, manyRoutes }) {
  const expected = options.only.filter((id) => ['tcp', 'kpps', 'memory'].includes(id)).length;
  return (
    (!wantsRoutes || manyRoutes.promises.length === expected) &&
    wanted.every((path, index) =>
      columns.every(({ id }) => !applies(id, path) || paths[index].figures[id] !== undefined),
    )
  );
}

function toolsFor(seconds) {
  return { udpLoad, seconds, udpMs: Math.max(500, seconds * 500) };
}

function rotated(list, by) {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

/** One line, written over and over. Where standard error is no terminal, a line each. */
function progress(line) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
  else if (line !== '') process.stderr.write(`${line}\n`);
}
