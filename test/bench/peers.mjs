// How long a daemon takes to set up its host for many peers, with each backend. `node test/bench/peers.mjs --help`
// Needs root and a build (make bench does both).
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import {
  foreignLease,
  MANY_PEERS_ADDRESS,
  MANY_PEERS_NETWORK,
  transactions,
} from '../support/foreign-leases.mjs';
import { BACKENDS, loadLabs } from './backends/labs.mjs';
import { spreadOf } from './datapath/figures.mjs';
import { aligned } from './datapath/report.mjs';
import { choice, count, readBenchOptions } from './options.mjs';

const PREFIX = '/coreos.com/network';
const PEERS_MAX = 2000;
const ids = BACKENDS.map(({ id }) => id).filter((id) => id !== 'udp-dgram');
const HELP = `Usage: node test/bench/peers.mjs [options]

Starts a daemon in a network namespace whose etcd holds the leases of many hosts, and measures how long it takes until
this host holds everything for them: routes, neighbours, FDB entries, WireGuard peers, the data plane's table.

  --peers N        hosts that the leases are of (default 999, at most ${PEERS_MAX})
  --rounds N       of each backend (default 5)
  --backends LIST  only these: ${ids.join(',')}
  --dist FOLDER    the build to measure (default dist)
  --json           print the report as JSON
  --help           print this

Exit codes: 0; 1 when something could not be measured, 2 wrong usage.
`;

const options = readOptions();
const labs = await loadLabs(options.dist);
const present = new Set();
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => void removeAll().then(() => process.exit(1)));
const failures = [];
const backends = [];
for (const { id, name, backend } of BACKENDS.filter((one) => options.backends.includes(one.id))) {
  const rounds = [];
  for (let round = 0; round < options.rounds; round++) {
    process.stderr.write(`${name}, round ${round + 1}\n`);
    try {
      rounds.push(await measure(backend, backends.length * options.rounds + round));
    } catch (error) {
      failures.push(`${name}, round ${round + 1}: ${error.message}`);
    }
    await removeAll();
  }
  const spread = (key) => spreadOf(rounds.map((each) => each[key]));
  backends.push({ id, name, fromStart: spread('fromStart'), fromSnapshot: spread('fromSnapshot') });
}
const machine = { kernel: release(), processors: cpus().length, load: loadavg()[0] };
const report = { schema: 1, peers: options.peers, rounds: options.rounds, machine, backends, failures };
console.log(options.json ? JSON.stringify(report, undefined, 2) : asText(report));
process.exit(failures.length === 0 ? 0 : 1);

/** @returns milliseconds until the host holds everything: since the daemon's start, and since it had etcd's snapshot */
async function measure(backend, number) {
  const { Lab, labConfig, underlay, inNamespace, dist } = labs;
  const config = labConfig({ network: MANY_PEERS_NETWORK, backend });
  const lab = new Lab(
    { name: `p${process.pid % 1e4}${number}`, config, hostFamilies: [4], links: 1, mtu: 1500 },
    dist,
  );
  present.add(lab.spec.name);
  await lab.start();
  const { namespace, etcd } = underlay(lab.spec.name);
  const run = (place, words, input) => {
    const [program, ...args] = inNamespace(place, words);
    const { status, stdout, stderr } = spawnSync(program, args, {
      input,
      env: lab.environment(typeof place === 'string' ? undefined : place),
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
    if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr.trim()}`);
    return stdout;
  };
  const leases = Array.from({ length: options.peers }, (_, index) => foreignLease(backend.Type, index));
  for (const batch of transactions(PREFIX, leases))
    run(namespace, ['etcdctl', '--endpoints', etcd, 'txn'], batch);
  const host = await lab.prepareHost(1);
  run(host, ['ip', 'address', 'add', MANY_PEERS_ADDRESS, 'dev', 'eth0']);
  const started = Date.now();
  lab.startDaemon(host, ['--log-format', 'json']);
  const status = await lab.untilReady(host);
  if (status.problems.length > 0) throw new Error(status.problems.join('; '));
  const held = heldOf(backend, (...words) => run(host, words));
  if (held.some((count) => count !== options.peers)) throw new Error(`the host holds ${held.join(' and ')}`);
  const log = readFileSync(host.logFile, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  const timeOf = (start) => log.find(({ msg }) => msg.startsWith(start)).time;
  // The interface is looked for in the first round that has a snapshot.
  return {
    fromStart: timeOf('ready: ') - started,
    fromSnapshot: timeOf('ready: ') - timeOf('using interface'),
  };
}

/** How many of everything that there has to be one of for each peer. */
function heldOf({ Type, DirectRouting }, run) {
  const count = (pattern, ...words) =>
    run(...words)
      .split('\n')
      .filter((line) => pattern.test(line)).length;
  const routes = () => count(/\/24 /, 'ip', 'route', 'show', 'proto', '67');
  switch (Type) {
    case 'vxlan':
      return [
        routes(),
        count(/./, 'ip', 'neigh', 'show', 'dev', 'corduroy.1', 'nud', 'permanent'),
        count(/ dst /, 'bridge', 'fdb', 'show', 'dev', 'corduroy.1'),
      ];
    case 'wireguard':
      return [count(/./, 'wg', 'show', 'corduroy-wg', 'allowed-ips')];
    case 'udp': {
      const { engine } = JSON.parse(run('corduroy', 'status', '--json'));
      return [engine.routes, ...(DirectRouting ? [routes()] : [])];
    }
    default:
      return [routes()];
  }
}

async function removeAll() {
  for (const name of present) await labs.Lab.down(name);
  present.clear();
}

function asText({ peers, rounds, machine }) {
  const cell = (spread) =>
    spread === undefined
      ? ''
      : `${Math.round(spread.median)} (${Math.round(spread.min)}…${Math.round(spread.max)})`;
  return [
    `${peers} peers: ${machine.processors} processors, Linux ${machine.kernel}, load ${machine.load.toFixed(1)}`,
    `milliseconds until the host holds everything, median (min…max) of ${rounds} starts`,
    '',
    ...aligned([
      ['', "from the daemon's start", "from etcd's snapshot"],
      ...backends.map(({ name, fromStart, fromSnapshot }) => [name, cell(fromStart), cell(fromSnapshot)]),
    ]),
    ...(failures.length === 0 ? [] : ['', 'not measured:', ...failures.map((line) => `  ${line}`)]),
  ].join('\n');
}

function readOptions() {
  return readBenchOptions({
    script: 'peers.mjs',
    help: HELP,
    options: { peers: '999', rounds: '5', backends: ids.join(',') },
    read: ({ peers, rounds, backends }) => ({
      peers: count('--peers', peers, PEERS_MAX),
      rounds: count('--rounds', rounds, 100),
      backends: choice('--backends', backends, ids),
    }),
  });
}
