import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * Reads the command line of a benchmark; ends the process for --help, and with 2 for wrong usage.
 * @param bench {script: its file's name, help: the text, options: those of its own by name, with their defaults,
 *   read: makes of the texts what the benchmark works with, and throws where one is wrong}
 */
export function readBenchOptions({ script, help, options, read }) {
  try {
    const own = Object.entries(options).map(([name, value]) => [name, { type: 'string', default: value }]);
    const { values } = parseArgs({
      options: {
        ...Object.fromEntries(own),
        dist: { type: 'string', default: 'dist' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(help);
      process.exit(0);
    }
    if (process.getuid() !== 0) throw new Error('this needs root, for network namespaces: sudo make bench');
    return { ...read(values), dist: resolve(values.dist), json: values.json };
  } catch (error) {
    process.stderr.write(`${error.message}\nSee: node test/bench/${script} --help\n`);
    process.exit(2);
  }
}

export function count(option, text, most) {
  if (!/^[1-9]\d*$/.test(text) || Number(text) > most)
    throw new Error(`${option} ${text}: give a whole number from 1 to ${most}`);
  return Number(text);
}

/** Some of all, separated by commas. */
export function choice(option, text, all) {
  const chosen = text.split(',').filter(Boolean);
  const unknown = chosen.find((one) => !all.includes(one));
  if (unknown !== undefined) throw new Error(`${option} ${unknown}: choose from ${all.join(', ')}`);
  return chosen;
}
