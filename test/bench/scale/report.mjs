// The figures of a run as text and as JSON, with what was promised.
//
// JSON, schema 1: { schema, machine: { kernel, processors, busyBefore }, options, results: as measured, promises:
//   [{ name, value, atMost, kept }] }
import { spreadOf } from '../datapath/figures.mjs';
import { percentile } from './changes.mjs';

/** The worst round counts: a promise is not kept by a median. */
export function promisesOf({ start = [], changes = [], idle }) {
  const latency = (share) => Math.max(...changes.map(({ latencies }) => percentile(latencies, share)));
  const of = (list, pick) => Math.max(...list.map(pick));
  const promises = [
    ...(start.length > 0
      ? [
          ['start to complete routes, ms', of(start, ({ complete }) => complete), 2000],
          ['resident at its highest, from start to settled, MB', of(start, ({ peak }) => peak), 150],
        ]
      : []),
    ...(changes.length > 0
      ? [
          ['a changed lease in the engine, p99, ms', latency(0.99), 50],
          ['changes that never arrived', of(changes, ({ lost }) => lost), 0],
        ]
      : []),
    ...(idle ? [['etcd requests of a quiet daemon a minute', idle.requests, 1]] : []),
  ];
  return promises.map(([name, value, atMost]) => ({ name, value, atMost, kept: value <= atMost }));
}

export function asText({ machine, options, results, promises }) {
  const { start, changes, idle, hosts } = results;
  return [
    `scale: ${machine.processors} processors, Linux ${machine.kernel}, ${percent(machine.busyBefore)} busy before the run`,
    ...(start?.length > 0 ? startLines(start, options) : []),
    ...(changes?.length > 0 ? changeLines(changes, options) : []),
    ...(idle ? idleLines(idle) : []),
    ...(hosts ? hostLines(hosts) : []),
    '',
    ...promises.map(
      ({ name, value, atMost, kept }) =>
        `${kept ? 'kept  ' : 'MISSED'}  ${name}: ${round(value)} (promised: at most ${atMost})`,
    ),
  ].join('\n');
}

function startLines(start, { peers }) {
  const line = (name, pick) => `  ${name.padEnd(46)} ${formatSpread(spreadOf(start.map(pick)))}`;
  return [
    '',
    `start with ${peers} peers, median (least … most) of ${start.length} rounds`,
    line('start of process to complete routes, ms', ({ complete }) => complete),
    line('resident then, MB', ({ resident }) => resident),
    line('resident at its highest, MB', ({ peak }) => peak),
    line('resident 5 s later, MB', ({ settled }) => settled),
    line('CPU until then, s', ({ cpu }) => cpu),
  ];
}

function changeLines(changes, { peers, seconds }) {
  const line = (name, pick) => `  ${name.padEnd(46)} ${formatSpread(spreadOf(changes.map(pick)))}`;
  const at = (share) => (one) => percentile(one.latencies, share);
  return [
    '',
    `leases change, ${peers} peers, ${seconds} s, ${changes.length} rounds`,
    line('changes a second', ({ rate }) => rate),
    line("etcd's answer to the engine's table, p50, ms", at(0.5)),
    line('p99, ms', at(0.99)),
    line('longest, ms', at(1)),
    line('cores used by the daemon', ({ daemonCpu }) => daemonCpu),
    line('cores used by the engine, probe included', ({ engineCpu }) => engineCpu),
    line('looks at the table a second', ({ looks }) => looks / seconds),
    line('daemon resident afterwards, MB', ({ resident }) => resident),
  ];
}

function idleLines({ seconds, requests, daemon, programs, engine }) {
  return [
    '',
    `a quiet daemon, ${Math.round(seconds)} s, by the minute`,
    `  etcd requests ${round(requests)}`,
    `  CPU: daemon ${round(daemon)} ms, programs that it ran ${round(programs)} ms, engine ${round(engine)} ms`,
  ];
}

function hostLines({ hosts, bareResident, leasing, following, renewing, moving }) {
  const row = (name, phase) =>
    [
      name.padEnd(28),
      round(phase.requests / phase.seconds),
      round((phase.byMethod.Txn ?? 0) / phase.seconds),
      round(phase.events / phase.seconds),
      round(phase.sentMegabytes / phase.seconds),
      phase.cpuShare.toFixed(3),
      round(phase.resident),
    ]
      .map((cell, at) => (at === 0 ? cell : String(cell).padStart(14)))
      .join('');
  const heads = ['requests/s', 'writes/s', 'events sent/s', 'MB sent/s', 'etcd cores', 'etcd MB'];
  return [
    '',
    `${hosts} simulated hosts (etcd alone: ${round(bareResident)} MB)`,
    `  ${''.padEnd(28)}${heads.map((head) => head.padStart(14)).join('')}`,
    `  ${row(`lease, in ${Math.round(leasing.seconds)} s`, leasing)}`,
    `  ${row(`follow, in ${Math.round(following.seconds)} s`, following)}`,
    `  ${row('renew', renewing)}`,
    `  ${row('change addresses', moving)}`,
    `  requests that failed: ${[leasing, following, renewing, moving].map((phase) => phase.hosts.failures).join(', ')}`,
    `  following, for each host: ${round((following.sentMegabytes / hosts) * 1000)} kB and ${round((following.cpuShare * following.seconds * 1000) / hosts)} ms of etcd's CPU`,
    `  requests while they renewed: ${formatMethods(renewing)}`,
    `  requests while they changed addresses: ${formatMethods(moving)}`,
  ];
}

function formatMethods({ byMethod, seconds }) {
  return Object.entries(byMethod)
    .map(([method, count]) => `${method} ${round(count / seconds)}/s`)
    .join(', ');
}

function formatSpread({ median, min, max }) {
  return `${round(median)} (${round(min)} … ${round(max)})`;
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

function round(value) {
  return Math.abs(value) >= 100
    ? value.toFixed(0)
    : Number.isInteger(value)
      ? String(value)
      : value.toFixed(2);
}
