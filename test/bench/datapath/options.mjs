// The command line of the benchmark of the data path.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { COLUMNS } from './measures.mjs';
import { MANY_ROUTES, PATHS } from './paths.mjs';

const pathIds = [...PATHS, MANY_ROUTES].map(({ id }) => id);
const columnIds = COLUMNS.map(({ id }) => id);
const HELP = `Usage: node test/bench/datapath.mjs [options]

Measures the data path between two hosts (network namespaces) and prints one table. Needs root and a build.

  --rounds N     rounds, each over all paths (default 5)
  --seconds S    for each TCP measurement, a whole number; half of it for UDP (default 2)
  --paths LIST   only these: ${pathIds.join(',')}
                 (routes: native with 10 000 routes against two)
  --only LIST    only these columns: ${columnIds.join(',')}
  --dist FOLDER  the build to measure (default dist)
  --json         print the report as JSON
  --svg FILE     write a chart as well
  --help         print this

Exit codes: 0, also when a promise is missed; 1 when something could not be measured, 2 wrong usage.
`;

/** Ends the process after --help, and with 2 after a wrong usage. */
export function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '2' },
        paths: { type: 'string', default: pathIds.join(',') },
        only: { type: 'string', default: columnIds.join(',') },
        dist: { type: 'string', default: 'dist' },
        json: { type: 'boolean', default: false },
        svg: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    if (process.getuid() !== 0) throw new Error('this needs root, for network namespaces: sudo make bench');
    return {
      ...values,
      rounds: count('--rounds', values.rounds),
      seconds: count('--seconds', values.seconds),
      paths: choice('--paths', values.paths, pathIds),
      only: choice('--only', values.only, columnIds),
      dist: resolve(values.dist),
    };
  } catch (error) {
    process.stderr.write(`${error.message}\nSee: node test/bench/datapath.mjs --help\n`);
    process.exit(2);
  }
}

function count(option, text) {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`${option} ${text}: give a whole number from 1 to 9999`);
  return Number(text);
}

function choice(option, text, known) {
  const chosen = text.split(',').filter(Boolean);
  const unknown = chosen.find((each) => !known.includes(each));
  if (unknown !== undefined) throw new Error(`${option} ${unknown}: choose from ${known.join(', ')}`);
  return chosen;
}
