// What goes through the tunnel meanwhile: UDP of three sizes, pings and TCP, both ways, for a given time.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { outputOf, start, untilPrinted } from '../datapath/processes.mjs';

/** A payload of 1400 is one packet, one of 8000 comes in six fragments. */
const FLOWS = [
  { name: 'UDP 64 B', size: 64, perSecond: 10_000, port: 9001 },
  { name: 'UDP 1400 B', size: 1400, perSecond: 3000, port: 9002 },
  { name: 'UDP 8000 B', size: 8000, perSecond: 300, port: 9003 },
];
const TCP = { rate: '300M', port: 5201 };
/** Seconds between two pings. */
const PING_INTERVAL = 0.01;
/** Milliseconds that a process may take longer than it was told to. */
const PATIENCE = 20_000;

/** @returns the path of the sender and counter of UDP packets */
export function compileLoad(folder) {
  const program = join(folder, 'load');
  const source = new URL('load.c', import.meta.url).pathname;
  const words = ['-std=c11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source];
  const { status, error, stderr } = spawnSync(process.env.CC ?? 'cc', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${source} cannot be compiled: ${error?.message ?? stderr}`);
  return program;
}

/** Runs it all. @returns { flows: [{ name, from, to, sent, refused, received }], tcp: [{ from, to, … }] }; hosts by number */
export async function runTraffic([one, two], load, seconds) {
  const limit = seconds * 1000 + PATIENCE;
  const ways = [
    [one, two],
    [two, one],
  ];
  const counters = [];
  for (const [from, to] of ways) {
    for (const flow of FLOWS) {
      const counter = start(to.container, load, ['count', to.containerAddress, flow.port]);
      await untilPrinted(counter, 'ready');
      counters.push({ ...flow, from, to, counter });
    }
  }
  const listening = start(two.container, 'iperf3', ['-s', '-1', '-p', TCP.port, '--forceflush']);
  await untilPrinted(listening, 'listening');

  const tcp = outputOf(
    start(one.container, 'iperf3', [
      ...['-c', two.containerAddress, '-p', TCP.port, '-t', seconds],
      ...['--bidir', '-b', TCP.rate, '-i', '0', '-J'],
    ]),
    limit,
  );
  const pings = ways.map(([from, to]) =>
    outputOf(
      start(from.container, 'ping', ['-n', '-q', '-i', PING_INTERVAL, '-w', seconds, to.containerAddress]),
      limit,
    ).then((text) => pingFlow(text, from, to)),
  );
  const sent = counters.map(({ from, to, port, size, perSecond }) =>
    outputOf(
      start(from.container, load, ['send', to.containerAddress, port, size, perSecond, seconds]),
      limit,
    ).then((text) => text.split(' ').map(Number)),
  );
  const [outcomes, answered, report] = await Promise.all([Promise.all(sent), Promise.all(pings), tcp]);
  const streams = tcpStreams(JSON.parse(report));
  const flows = [];
  for (const [index, { name, from, to, counter }] of counters.entries()) {
    counter.child.kill('SIGTERM');
    const received = Number((await outputOf(counter)).split('\n')[1]);
    const [packets, refused] = outcomes[index];
    flows.push({ name, from: from.number, to: to.number, sent: packets, refused, received });
  }
  return { flows: [...flows, ...answered], tcp: streams };
}

/** The last ping may be under way when the time is up. */
function pingFlow(text, from, to) {
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text)?.map(Number) ?? [];
  if (sent === undefined) throw new Error(`ping said: ${text}`);
  const underWay = sent - received === 1 ? 1 : 0;
  return { name: 'pings', from: from.number, to: to.number, sent: sent - underWay, refused: 0, received };
}

function tcpStreams({ end, error }) {
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  const stream = (from, to, sum, received) => ({
    from,
    to,
    megabits: Math.round(received.bits_per_second / 1e6),
    retransmits: sum.retransmits,
  });
  return [
    stream(1, 2, end.sum_sent, end.sum_received),
    stream(2, 1, end.sum_sent_bidir_reverse, end.sum_received_bidir_reverse),
  ];
}
