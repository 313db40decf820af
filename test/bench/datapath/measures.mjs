// What is measured on a path, and with which tool. Traffic goes from the first container to the second.
// `tools`: { udpLoad: path of the program, seconds: of TCP, a whole number, udpMs: milliseconds of UDP }
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMegabytes } from './engines.mjs';
import { end, outputOf, run, start, untilPrinted } from './processes.mjs';

/** Bytes of UDP payload; the IPv4 packet has 28 more. */
const PAYLOAD = 64;
const IPERF_PORT = 5201;
const UDP_PORT = 9000;
const FLOOD_WARM_UP_MS = 200;
/** The flood lasts longer than the window in which it is counted, by this. */
const FLOOD_MARGIN_MS = 100;
/** From USER_HZ, which is 100 on every Linux that Node runs on. */
const TICK_SECONDS = 0.01;
const LAST_PROCESSOR = cpus().length - 1;
/** For queues to run empty between two measurements. */
const PAUSE_MS = 100;

/** `better`: which way a figure should go. */
export const COLUMNS = [
  { id: 'tcp', name: 'TCP, 1 stream', unit: 'Gbit/s', better: 'more', digits: 2 },
  { id: 'tcp4', name: 'TCP, 4 streams', unit: 'Gbit/s', better: 'more', digits: 2 },
  { id: 'bidir', name: 'TCP, both ways', unit: 'Gbit/s', better: 'more', digits: 2 },
  { id: 'kpps', name: 'UDP, 64 bytes', unit: 'kpps', better: 'more', digits: 0 },
  { id: 'p50', name: 'round trip p50', unit: 'µs', better: 'less', digits: 0 },
  { id: 'p99', name: 'round trip p99', unit: 'µs', better: 'less', digits: 0 },
  { id: 'cpu', name: 'CPU, both ends', unit: 's/GB', better: 'less', digits: 2 },
  { id: 'memory', name: 'memory', unit: 'MB', better: 'less', digits: 1 },
];

/** One run of a tool each, and the columns that it fills. */
export const MEASURES = [
  { columns: ['tcp', 'cpu'], take: oneStream },
  {
    columns: ['tcp4'],
    take: async (path, tools) => ({ tcp4: (await iperf(path, tools, ['-P', '4'])).gigabits }),
  },
  {
    columns: ['bidir'],
    take: async (path, tools) => ({ bidir: (await iperf(path, tools, ['--bidir'])).gigabits }),
  },
  { columns: ['kpps'], take: flood },
  { columns: ['p50', 'p99'], take: roundTrips },
  { columns: ['memory'], take: memory },
];

/** Whether a column can have figures for a path: a path without an engine has no memory of its own. */
export function applies(column, path) {
  return column !== 'memory' || path.engine !== undefined;
}

/** Compiles the tool for small packets. @returns its path */
export function compileUdpLoad(folder) {
  const udpLoad = join(folder, 'udp-load');
  const source = new URL('../udp-load.c', import.meta.url).pathname;
  const words = ['-std=c11', '-D_GNU_SOURCE', '-O2', '-o', udpLoad, source];
  const { status, error, stderr } = spawnSync(process.env.CC ?? 'cc', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${source} cannot be compiled: ${error?.message ?? stderr}`);
  return udpLoad;
}

/** One packet there and back; rejects when the path carries nothing. */
export async function probe(path, tools) {
  try {
    await roundTrips(path, { ...tools, udpMs: 300 });
  } catch (cause) {
    throw new Error(`nothing comes through (${cause.message})`, { cause });
  }
}

/** A moment of TCP, forgotten: caches, TCP metrics and the compiler of Node are warm after it. */
export async function warmUp(path, tools) {
  await iperf(path, { ...tools, seconds: 1 }, []);
}

/** How much of the machine is in use by others, 0 … 1, over half a second. */
export async function othersShare() {
  const began = performance.now();
  const before = busyTicks();
  await sleep(500);
  const elapsed = ((performance.now() - began) / 1000) * cpus().length;
  return Math.min(1, ((busyTicks() - before) * TICK_SECONDS) / elapsed);
}

export async function take(measure, path, tools) {
  const figures = await measure.take(path, tools);
  await sleep(PAUSE_MS);
  return figures;
}

async function oneStream(path, tools) {
  const { gigabits, gigabytes, busySeconds } = await iperf(path, tools, []);
  return { tcp: gigabits, cpu: busySeconds / gigabytes };
}

/** What was received, all streams and both directions together. */
async function iperf({ hosts }, { seconds }, options) {
  const [client, server] = hosts;
  const address = server.containerAddress;
  const listening = start(server.container, 'iperf3', [
    '-s',
    '-1',
    '-p',
    IPERF_PORT,
    '-B',
    address,
    '--forceflush',
  ]);
  try {
    await untilPrinted(listening, 'listening');
    const words = [
      '-c',
      address,
      '-p',
      IPERF_PORT,
      '-t',
      seconds,
      '--connect-timeout',
      '2000',
      '-J',
      ...options,
    ];
    const busyBefore = busyTicks();
    const text = await run(client.container, 'iperf3', words, (seconds + 8) * 1000);
    const busySeconds = (busyTicks() - busyBefore) * TICK_SECONDS;
    const { end: ending, error } = JSON.parse(text);
    if (error !== undefined) throw new Error(`iperf3: ${error}`);
    const received = [ending.sum_received, ending.sum_received_bidir_reverse].filter(Boolean);
    const sum = (key) => received.reduce((total, each) => total + each[key], 0);
    if (sum('bytes') === 0) throw new Error('iperf3 moved nothing');
    return { gigabits: sum('bits_per_second') / 1e9, gigabytes: sum('bytes') / 1e9, busySeconds };
  } finally {
    await end(listening);
  }
}

/** What all processors of the machine did together, but for being idle; what a hypervisor took away is not in it. */
function busyTicks() {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return user + nice + system + irq + softirq;
}

async function flood({ hosts }, { udpLoad, udpMs }) {
  const [from, to] = hosts;
  const target = [to.containerAddress, UDP_PORT, PAYLOAD];
  const sink = start(to.container, udpLoad, ['sink', ...target, FLOOD_WARM_UP_MS, udpMs]);
  try {
    await untilPrinted(sink, 'ready');
    await run(from.container, udpLoad, ['flood', ...target, FLOOD_WARM_UP_MS + udpMs + FLOOD_MARGIN_MS]);
    const delivered = Number((await outputOf(sink)).split('\n')[1]);
    if (!(delivered > 0)) throw new Error('udp-load: no packet of the flood was delivered');
    return { kpps: delivered / udpMs };
  } finally {
    await end(sink);
  }
}

async function roundTrips({ hosts }, { udpLoad, udpMs }) {
  const [from, to] = hosts;
  const target = [to.containerAddress, UDP_PORT, PAYLOAD];
  // Each end on a processor of its own, as on two machines. Left to itself the scheduler puts both on one in some
  // rounds and not in others, and a round trip then takes a tenth of the time.
  const onProcessor = (number, ...words) => ['taskset', ['--cpu-list', number, udpLoad, ...words]];
  const echo = start(to.container, ...onProcessor(LAST_PROCESSOR, 'echo', ...target));
  try {
    await untilPrinted(echo, 'ready');
    const [, p50, p99] = (await run(from.container, ...onProcessor(0, 'ping', ...target, udpMs)))
      .split(' ')
      .map(Number);
    return { p50, p99 };
  } finally {
    await end(echo);
  }
}

async function memory({ engines }) {
  return { memory: await residentMegabytes(engines) };
}
