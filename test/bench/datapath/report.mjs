// The report of a run, as text and as JSON.
//
// JSON, schema 1: { schema, rounds, seconds, machine: { kernel, processors, busyBefore: 0 … 1 },
//   columns: [{ id, name, unit, better }],
//   paths: [{ id, name, offloads?: [text], skipped?: text, figures: { COLUMN: { median, min, max, rounds: [number] } } }],
//   promises: [PROMISE], manyRoutes: { rounds, seconds, promises: [PROMISE] },
//   failures: [text] }
// PROMISE: { column, over, under?, atLeast?, atMost?, aim?, spread: { median, min, max }, kept?, reached? }
// `under` absent: the figure itself is promised, in its unit. All else that is promised is a ratio.
import { COLUMNS } from './measures.mjs';

const GAP = '  ';

export function asText(report) {
  const { rounds, seconds, machine } = report;
  return [
    `data path: ${machine.processors} processors, Linux ${machine.kernel}; median and min…max of ${rounds} interleaved rounds`,
    `TCP: iperf3, ${seconds} s. UDP: 64 bytes of payload, half as long; packets delivered, and a packet there and back.`,
    'CPU: the whole machine, per GB of the one stream. Memory: resident, of the larger engine of the two.',
    '',
    ...mainTable(report),
    ...verdictLines('promises, each a ratio within a round', report.promises),
    ...verdictLines(
      `native with 10 000 routes against two, in ${report.manyRoutes.rounds} pairs of ${report.manyRoutes.seconds} s`,
      report.manyRoutes.promises,
    ),
    ...listed('offloads', report.paths.flatMap(offloadLine)),
    ...listed('not measured', report.failures),
  ].join('\n');
}

/** Two lines a path: the medians, and below them the spread. */
function mainTable({ columns, paths }) {
  const shown = paths.filter(({ figures }) => Object.keys(figures).length > 0);
  if (shown.length === 0) return [];
  const cells = ({ figures }, format) =>
    columns.map(({ id }) => (figures[id] === undefined ? '' : format(figures[id], digitsOf(id))));
  return aligned([
    ['', ...columns.map(({ name }) => name)],
    ['', ...columns.map(({ unit }) => unit)],
    ...shown.flatMap((path) => [
      [path.name, ...cells(path, ({ median }, digits) => median.toFixed(digits))],
      ['', ...cells(path, ({ min, max }, digits) => `${min.toFixed(digits)}…${max.toFixed(digits)}`)],
    ]),
  ]);
}

function offloadLine({ name, offloads = [] }) {
  return offloads.some((offload) => offload.endsWith(' on')) ? [`${name}: ${offloads.join(', ')}`] : [];
}

function listed(title, lines) {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  ${line}`)];
}

function columnOf(id) {
  return COLUMNS.find((column) => column.id === id);
}

function digitsOf(id) {
  return columnOf(id).digits;
}

function verdictLines(title, verdicts) {
  if (verdicts.length === 0) return [];
  const rows = verdicts.map((verdict) => [
    `  ${subject(verdict)}`,
    formatSpread(verdict.spread),
    bounds(verdict),
    outcome(verdict),
  ]);
  return ['', `${title}:`, ...aligned(rows)];
}

function subject({ column, over, under }) {
  const { name, unit } = columnOf(column);
  return under === undefined ? `${name}, ${unit}` : `${name}: ${over} / ${under}`;
}

function formatSpread({ median, min, max }) {
  return `${median.toFixed(2)} (${min.toFixed(2)}…${max.toFixed(2)})`;
}

function bounds({ atLeast, atMost, aim }) {
  return [
    ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
    ...(atMost === undefined ? [] : [`at most ${atMost}`]),
    ...(aim === undefined ? [] : [`aim ${aim}`]),
  ].join(', ');
}

function outcome({ kept, reached }) {
  return [
    ...(kept === undefined ? [] : [kept ? 'kept' : 'MISSED']),
    ...(reached === undefined ? [] : [reached ? 'aim reached' : 'aim not reached']),
  ].join(', ');
}

/** The first column to the left, the others to the right. */
export function aligned(rows) {
  const widths = rows[0].map((_, index) => Math.max(...rows.map((row) => row[index].length)));
  return rows.map((row) =>
    row
      .map((text, index) => (index === 0 ? text.padEnd(widths[index]) : text.padStart(widths[index])))
      .join(GAP)
      .trimEnd(),
  );
}
