// Many hosts in one process: each has its own connection to etcd, lease, node record and watch, by the project's own Store
// and LeaseKeeper, and nothing behind them: no devices, no data plane, and no table of the others' leases (a thousand times
// two thousand entries would be more memory than the machine has). What a watch brings is decoded, counted and dropped.
//
// Started by many-hosts.mjs, with the arguments as JSON: { dist, endpoint, first, count, ttl, margin }.
// Takes the messages { lease: true }, { follow: true }, { move: N } and answers { done: true }; and { report: true }.
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const { dist, endpoint, first, count, ttl, margin } = JSON.parse(process.argv[2]);
const load = (path) => import(join(dist, path));
const { openEtcdStore } = await load('store/etcd/etcd-store.js');
const { LeaseKeeper } = await load('lease/lease-keeper.js');
const { parseNetworkConfig } = await load('config/network-config.js');
const { Ip } = await load('net/ip.js');

const PREFIX = '/coreos.com/network';
const FIRST_ADDRESS = 172n * 2n ** 24n + 16n * 2n ** 16n;
const NEW_ADDRESSES = 2n ** 16n;
const AT_ONCE = 4;
const quiet = () => undefined;
const warn = (text) => process.stderr.write(`simulated host: ${text}\n`);
const log = { debug: quiet, info: quiet, warn, error: warn };
const totals = { snapshots: 0, entries: 0, deltas: 0, changes: 0, interrupted: 0, renewals: 0, failures: 0 };

class SimulatedHost {
  #number;
  #store = openEtcdStore({ endpoints: [endpoint] });
  #keeper;
  #wanted;
  #held;

  constructor(number) {
    this.#number = number;
    const id = number.toString(16).padStart(32, '0');
    this.#keeper = new LeaseKeeper(
      {
        store: this.#store,
        prefix: PREFIX,
        machine: {
          nodeId: id,
          hostName: `host-${number}.example.net`,
          version: '0.1.0',
          processId: `${process.pid}-${number}`,
        },
        ttl,
        renewMargin: margin,
        now: () => performance.now(),
        random: (bound) => randomInt(bound),
        sleep,
        log,
      },
      { subnets: [], inUse: false },
    );
  }

  /** Leases a subnet; from then on the lease is renewed. */
  async lease() {
    const config = await this.#store.get(`${PREFIX}/config`);
    const { value } = parseNetworkConfig(config.value);
    this.#wanted = {
      ranges: value.ranges,
      configKey: config.key,
      configRevision: config.modRevision,
      attributes: { publicIp: Ip.of(4, FIRST_ADDRESS + BigInt(this.#number)), publicIpv6: undefined },
      capabilities: ['engine-native', 'ecn'],
      hardware: 'simulated',
    };
    await this.#ensure();
    this.#renew().catch(fail);
  }

  /** Another public address: one write of lease and record. */
  async move() {
    const { publicIp } = this.#wanted.attributes;
    const attributes = { ...this.#wanted.attributes, publicIp: publicIp.plus(NEW_ADDRESSES) };
    this.#wanted = { ...this.#wanted, attributes };
    await this.#ensure();
  }

  /** As a daemon: what fails is tried again after a second. */
  async #ensure() {
    for (;;) {
      try {
        this.#held = await this.#keeper.ensure(this.#wanted);
        return;
      } catch (error) {
        if (!error.retryable) throw error;
        if (totals.failures++ === 0) warn(`the first failure: ${error.message}`);
        await sleep(1000);
      }
    }
  }

  async #renew() {
    for (;;) {
      const { renewAt } = this.#held.session;
      await sleep(Math.max(0, renewAt - performance.now()) + 1);
      if (this.#held.session.renewAt > performance.now()) continue; // It has moved meanwhile.
      await this.#ensure();
      totals.renewals++;
    }
  }

  /** Resolves when the first snapshot has come; what follows is counted. */
  follow() {
    return new Promise((resolve) => this.#follow(resolve).catch(fail));
  }

  async #follow(onSnapshot) {
    for await (const event of this.#store.watch(`${PREFIX}/`, new AbortController().signal)) {
      if (event.kind === 'snapshot') {
        totals.snapshots++;
        totals.entries += event.entries.length;
        onSnapshot();
      } else if (event.kind === 'delta') {
        totals.deltas++;
        totals.changes += event.changes.length;
      } else {
        totals.interrupted++;
      }
    }
  }
}

function fail(error) {
  process.stderr.write(`simulated host: ${error.stack}\n`);
  process.exit(1);
}

const hosts = Array.from({ length: count }, (_, index) => new SimulatedHost(first + index));

process.on('message', async (message) => {
  try {
    if (message.lease) await inTurn((host) => host.lease());
    if (message.follow) await inTurn((host) => host.follow());
    if (message.move !== undefined) await hosts[message.move].move();
    if (message.report) {
      const report = { ...totals, cpu: process.cpuUsage(), rss: process.memoryUsage.rss() };
      process.send({ report });
    } else {
      process.send({ done: true });
    }
  } catch (error) {
    fail(error);
  }
});
process.on('disconnect', () => process.exit(0));

/** Few at a time: as fast as this process and etcd can, and not faster, however busy the machine is. */
async function inTurn(work) {
  const left = [...hosts];
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (let host = left.shift(); host !== undefined; host = left.shift()) await work(host);
  });
  await Promise.all(workers);
}
