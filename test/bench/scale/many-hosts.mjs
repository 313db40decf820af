// A thousand hosts against one etcd: what it is asked, what it sends, and what that costs it.
import { fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { between, sampleEtcd } from './etcd-metrics.mjs';

const PROGRAM = fileURLToPath(new URL('simulated-hosts.mjs', import.meta.url));
const PROCESSES = 2;
/** Seconds. A day's lease would not be renewed while we look. */
const TTL = 60;
const MARGIN = 20;
const MOVES_A_SECOND = 5;

/** @returns for each phase what etcd did, see `between` */
export async function measureManyHosts({ dist, endpoint, hosts, seconds, progress }) {
  const count = Math.ceil(hosts / PROCESSES);
  const children = Array.from({ length: PROCESSES }, (_, index) => {
    const settings = {
      dist,
      endpoint,
      first: 1 + index * count,
      count,
      ttl: TTL,
      margin: MARGIN,
    };
    return new Child(settings);
  });
  const phase = async (name, work) => {
    progress(name);
    const [etcdBefore, reportsBefore] = [await sampleEtcd(endpoint), await reportAll(children)];
    await work();
    const [etcdAfter, reports] = [await sampleEtcd(endpoint), await reportAll(children)];
    return { ...between(etcdBefore, etcdAfter), hosts: sumOf(reports, reportsBefore) };
  };
  try {
    const bare = await sampleEtcd(endpoint);
    const all = (message) => () => Promise.all(children.map((child) => child.tell(message)));
    // A daemon follows first. Then every join goes to all that are there: half a million messages, of which a benchmark on
    // the machine of its etcd would see little but its own load. What a change costs etcd is measured below.
    const leasing = await phase(`${hosts} hosts lease a subnet`, all({ lease: true }));
    const following = await phase('they follow', all({ follow: true }));
    const renewing = await phase('they renew', () => sleep(seconds * 1000));
    const moving = await phase(`${MOVES_A_SECOND} a second change their address`, () =>
      moveHosts(children, count, seconds),
    );
    return {
      hosts: count * PROCESSES,
      bareResident: bare.memory.resident,
      leasing,
      following,
      renewing,
      moving,
    };
  } finally {
    for (const child of children) child.end();
  }
}

class Child {
  #process;
  #ended;

  constructor(settings) {
    this.#process = fork(PROGRAM, [JSON.stringify(settings)]);
    this.#ended = new Promise((_, reject) => {
      this.#process.once('exit', (code) => reject(new Error(`the simulated hosts ended with ${code}`)));
    });
    this.#ended.catch(() => undefined); // Whoever waits for an answer is told.
  }

  tell(message) {
    return this.#answer(message, (answer) => answer.done);
  }

  report() {
    return this.#answer({ report: true }, (answer) => answer.report);
  }

  move(host) {
    this.#process.send({ move: host });
  }

  end() {
    this.#process.kill('SIGKILL');
  }

  #answer(message, pick) {
    const answered = new Promise((resolve) => {
      const receive = (answer) => {
        const picked = pick(answer);
        if (picked === undefined) return;
        this.#process.off('message', receive);
        resolve(picked);
      };
      this.#process.on('message', receive);
    });
    this.#process.send(message);
    return Promise.race([answered, this.#ended]);
  }
}

async function moveHosts(children, count, seconds) {
  const started = performance.now();
  for (let number = 0; number < MOVES_A_SECOND * seconds; number++) {
    const due = started + (number * 1000) / MOVES_A_SECOND;
    await sleep(Math.max(0, due - performance.now()));
    children[number % PROCESSES].move(Math.floor(number / PROCESSES) % count);
  }
  await sleep(1000); // What was written last arrives.
}

function reportAll(children) {
  return Promise.all(children.map((child) => child.report()));
}

/** What the processes counted between two reports; CPU in seconds. */
function sumOf(reports, before) {
  const difference = (pick) =>
    reports.reduce((sum, report, index) => sum + pick(report) - pick(before[index]), 0);
  return {
    snapshots: difference((report) => report.snapshots),
    entries: difference((report) => report.entries),
    deltas: difference((report) => report.deltas),
    changes: difference((report) => report.changes),
    renewals: difference((report) => report.renewals),
    failures: difference((report) => report.failures),
    cpu: difference(({ cpu }) => (cpu.user + cpu.system) / 1e6),
  };
}
