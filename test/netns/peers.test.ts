import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUN_FILES } from '../../src/config/names.ts';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { connectDatapath } from '../../src/datapath/client.ts';
import { type LabHost, underlay } from '../../src/lab/topology.ts';
import {
  type ForeignLease,
  foreignLease,
  MANY_PEERS_ADDRESS,
  MANY_PEERS_NETWORK,
  transactions,
} from '../support/foreign-leases.mjs';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

const PEERS = 999;
/** The peer that changes. */
const CHANGING = 500;
/** Milliseconds: what a change brings about has happened by then. */
const SETTLED = 2000;

interface Subject {
  readonly name: string;
  readonly backend: { readonly Type: string } & Record<string, unknown>;
  /** What the host holds of peers, a line each: of every peer as many, each with what tells whose it is. */
  readonly held: (read: Read) => Promise<string[]>;
  readonly linesAPeer: number;
  /** What the kernel says has changed when a peer has another address and, where it has them, other keys. */
  readonly changes: (before: ForeignLease, after: ForeignLease) => string[];
}

type Read = (program: string, ...args: string[]) => Promise<string[]>;

const subnetRoutes = async (read: Read) =>
  (await read('ip', 'route', 'show', 'proto', '67')).filter((line) => line.includes('/24 '));

const SUBJECTS: readonly Subject[] = [
  {
    name: 'vxlan',
    backend: { Type: 'vxlan' },
    linesAPeer: 3,
    held: async (read) => [
      ...(await subnetRoutes(read)),
      ...(await read('ip', 'neigh', 'show', 'dev', 'corduroy.1', 'nud', 'permanent')),
      ...(await read('bridge', 'fdb', 'show', 'dev', 'corduroy.1')).filter((line) => / dst /.test(line)),
    ],
    changes: (before, after) => [
      `${after.first} dev corduroy.1 lladdr ${after.mac} PERMANENT`,
      `${after.mac} dev corduroy.1 dst ${after.address} self permanent`,
      `Deleted ${before.mac} dev corduroy.1 dst ${before.address} self permanent`,
    ],
  },
  {
    name: 'host-gw',
    backend: { Type: 'host-gw' },
    linesAPeer: 1,
    held: subnetRoutes,
    changes: (_before, { subnet, address }) => [`${subnet} via ${address} dev eth0 proto 67`],
  },
  {
    name: 'udp with DirectRouting',
    backend: { Type: 'udp', DirectRouting: true },
    linesAPeer: 1,
    held: subnetRoutes,
    changes: (_before, { subnet, address }) => [`${subnet} via ${address} dev eth0 proto 67`],
  },
  { name: 'udp', backend: { Type: 'udp' }, linesAPeer: 0, held: subnetRoutes, changes: () => [] },
  {
    name: 'wireguard',
    backend: { Type: 'wireguard' },
    linesAPeer: 1,
    held: (read) => read('wg', 'show', 'corduroy-wg', 'allowed-ips'),
    changes: () => [],
  },
];

describe.skipIf(labObstacle())(`${PEERS} peers ${labObstacle() ?? ''}`, () => {
  describe.each(SUBJECTS)('$name', ({ name, backend, linesAPeer, held, changes }) => {
    const obstacle = name === 'wireguard' ? wireguardObstacle() : undefined;
    const leases = Array.from({ length: PEERS }, (_, index) => foreignLease(backend.Type, index));
    let lab: TestLab;
    let host: LabHost;

    beforeAll(async () => {
      if (obstacle !== undefined) return;
      lab = await TestLab.start({ network: MANY_PEERS_NETWORK, backend });
      await write(lab, leases);
      host = await lab.lab.prepareHost(1);
      await lab.on(host, 'ip', 'address', 'add', MANY_PEERS_ADDRESS, 'dev', 'eth0');
    });
    afterAll(async () => {
      await lab?.remove();
    });

    const read: Read = async (program, ...args) =>
      (await lab.on(host, program, ...args)).split('\n').filter((line) => line !== '');

    it('holds what is needed of each, when it is ready', async ({ skip }) => {
      if (obstacle !== undefined) return skip(obstacle);
      lab.lab.startDaemon(host, ['--log-format', 'json']);
      const status = await lab.lab.untilReady(host);
      expect(status.problems).toEqual([]);
      expect(status.peers).toHaveLength(PEERS);
      const lines = await held(read);
      expect(lines).toHaveLength(PEERS * linesAPeer);
      if (status.engine !== undefined) expect((await engineRoutes(host)).routes).toBe(PEERS);
      process.stdout.write(
        `${name}: ${PEERS} peers stand ${settingUp(lab.log(host))} ms after the snapshot\n`,
      );
    });

    it.runIf(name === 'udp')('its status is long, and none of it is lost on a slow reader', async () => {
      const text = await lab.on(host, 'sh', '-c', 'corduroy status --json | { sleep 0.5; cat; }');
      expect((JSON.parse(text) as StatusDocument).peers).toHaveLength(PEERS);
    });

    it('one that changes: its own entries are touched, and nothing else', async ({ skip }) => {
      if (obstacle !== undefined) return skip(obstacle);
      const [before, after] = [foreignLease(backend.Type, CHANGING), foreignLease(backend.Type, CHANGING, 1)];
      const linesBefore = await held(read);
      const engineBefore = await engineRoutes(host);
      const heard = await listen(lab, host);
      await write(lab, [after]);
      await until('the change has been taken', async () => {
        const { peers } = await lab.status(host);
        return peers.some(({ publicIp }) => publicIp === after.address);
      });
      await sleep(SETTLED);
      expect((await heard()).sort()).toEqual(changes(before, after).sort());

      const linesAfter = await held(read);
      const gone = linesBefore.filter((line) => !linesAfter.includes(line));
      const come = linesAfter.filter((line) => !linesBefore.includes(line));
      const isIts = (line: string) =>
        [before, after].some((lease) =>
          [lease.subnet, `${lease.first} `, lease.mac, lease.publicKey].some(
            (own) => own && line.includes(own),
          ),
        );
      expect([...gone, ...come].filter((line) => !isIts(line))).toEqual([]);
      expect(come).toHaveLength(gone.length);
      if (linesAPeer > 0) expect(come.length).toBeGreaterThan(0);
      const engineAfter = await engineRoutes(host);
      expect(engineAfter.generation - engineBefore.generation).toBe(backend.Type === 'udp' ? 1n : 0n);
    });
  });
});

/** Leases of hosts that are not there. */
async function write(lab: TestLab, leases: readonly ForeignLease[]): Promise<void> {
  const { namespace, etcd } = underlay(lab.lab.spec.name);
  for (const batch of transactions(NETWORK_PREFIX, leases)) {
    const etcdctl = lab.spawn(namespace, 'etcdctl', '--endpoints', etcd, 'txn');
    etcdctl.stdin?.end(batch);
    etcdctl.stdout?.resume();
    const [code] = await once(etcdctl, 'close');
    expect(code).toBe(0);
  }
}

/** @returns what ends it, and tells what the kernel has said of routes, neighbours and FDB entries of Corduroy's */
async function listen(lab: TestLab, host: LabHost): Promise<() => Promise<string[]>> {
  const monitors = [
    ['ip', 'monitor', 'route', 'neigh'],
    ['bridge', 'monitor', 'fdb'],
  ].map(([program = '', ...args]) => {
    const child = lab.spawn(host.namespace, program, ...args);
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    return { child, text: () => text };
  });
  // Else they would miss what is said while they start.
  const device = ['cdy-marker', 'type', 'vxlan', 'id', '99', 'dstport', '4789'];
  await lab.on(host, 'ip', 'link', 'add', ...device);
  let last = 0;
  await until('the monitors hear', async () => {
    const mac = `02:00:00:00:00:${(16 + (last++ % 200)).toString(16)}`;
    await lab.on(host, 'bridge', 'fdb', 'replace', mac, 'dev', 'cdy-marker', 'dst', '198.51.100.1', 'self');
    return monitors.every(({ text }) => text().includes('cdy-marker'));
  });
  return async () => {
    for (const { child } of monitors) child.kill('SIGTERM');
    return (
      monitors
        .flatMap(({ text }) => text().split('\n'))
        .map((line) => line.trim().replaceAll(/\s+/g, ' '))
        // An FDB entry is said as a neighbour, too: without ARP.
        .filter((line) => /proto 67|dev corduroy/.test(line) && !line.includes('NOARP'))
    );
  };
}

async function engineRoutes(host: LabHost): Promise<{ routes: number; generation: bigint }> {
  try {
    const datapath = await connectDatapath(join(host.runDir, RUN_FILES.datapathSocket));
    const { routes, generation } = await datapath.stats();
    datapath.close();
    return { routes, generation };
  } catch {
    return { routes: 0, generation: 0n };
  }
}

/** Milliseconds from the first thing that the daemon does with what etcd says, until it is ready. */
function settingUp(log: string): number {
  const at = (start: string) =>
    log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { time: number; msg: string })
      .find(({ msg }) => msg.startsWith(start))?.time ?? Number.NaN;
  return at('ready: ') - at('using interface');
}

function wireguardObstacle(): string | undefined {
  const missing = ['wg', 'wireguard-go'].filter((tool) => spawnSync(tool, ['--version']).error !== undefined);
  return missing.length === 0 ? undefined : `needs ${missing.join(' and ')} (make setup installs them)`;
}
