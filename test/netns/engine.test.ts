import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUN_FILES } from '../../src/config/names.ts';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { connectDatapath } from '../../src/datapath/client.ts';
import { type EngineKind, OFFLOADS, type Route } from '../../src/datapath/datapath.ts';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { Ip } from '../../src/net/ip.ts';
import { Prefix } from '../../src/net/prefix.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';
import { SANITIZED } from '../support/programs.ts';
import { Transfer } from '../support/transfer.ts';

const NETWORK = '10.244.0.0/16';
/** kB. */
const MEMORY = 32 * 1024;
const MANY = 10_000;

describe.skipIf(labObstacle())(`the data plane of a host ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let target: string;

  beforeAll(async () => {
    lab = await TestLab.start({ network: NETWORK });
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    target = containerAddress([await lab.subnet(h2)]);
    await reached();
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const reached = () =>
    until('the containers reach each other', () => lab.pings(h1.container.namespace, target));

  const statusJson = async (host: LabHost) =>
    JSON.parse(await lab.on(host, 'corduroy', 'status', '--json')) as StatusDocument;

  async function untilEngine(host: LabHost, name: EngineKind): Promise<void> {
    await until(`${host.name} has ${name}`, async () => {
      const { engine, ready } = await lab.status(host);
      return ready && engine?.name === name && engine.ready;
    });
  }

  async function setConfig(backend: object): Promise<void> {
    const document = JSON.stringify({ Network: NETWORK, Backend: { Type: 'udp', ...backend } });
    await lab.on(h1, 'corduroy', 'config', 'set', document);
  }

  const procStatus = (pid: number) => readFileSync(`/proc/${pid}/status`, 'utf8');

  it('is the native one by default, and status says what it saves work with', async () => {
    const { engine } = await statusJson(h1);
    expect(engine).toMatchObject({ name: 'native', ready: true, routes: 1 });
    expect(engine?.offloads.map(({ offload }) => offload).sort()).toEqual(Object.keys(OFFLOADS).sort());
    for (const { state, reason } of engine?.offloads ?? []) expect(state === 'on').toBe(reason === '');
    expect(await lab.on(h1, 'corduroy', 'status')).toMatch(/^offloads +tun-tso (on|off|lost)/m);
  });

  it('has no rights left, and nothing open but what it moves packets and answers with', async () => {
    const { engine } = await lab.status(h1);
    const pid = engine?.pid ?? 0;
    const status = procStatus(pid);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\t0{16}$`, 'm'));
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    // Real, effective, saved, and of files.
    for (const ids of ['Uid', 'Gid']) expect(status).toMatch(new RegExp(`^${ids}:(\t[1-9]\\d*){4}$`, 'm'));
    expect(status).toMatch(/^Groups:\t\s*$/m);
    const descriptors = `/proc/${pid}/fd`;
    const files = readdirSync(descriptors).map((fd) => readlinkSync(join(descriptors, fd)));
    expect(files.filter((file) => file === '/dev/net/tun')).toHaveLength(1);
    const log = join(h1.runDir, RUN_FILES.datapathLog);
    const others = files.filter((file) => !/^(socket|anon_inode):/.test(file));
    expect(new Set(others)).toEqual(new Set(['/dev/net/tun', log]));
  });

  it('may use few system calls', async (context) => {
    if (SANITIZED !== undefined) context.skip(SANITIZED);
    const { engine } = await lab.status(h1);
    const pid = engine?.pid ?? 0;
    for (const thread of readdirSync(`/proc/${pid}/task`))
      expect(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')).toMatch(/^Seccomp:\t2$/m);
  });

  it('is another one by flag or by the network config, where the flag wins; traffic goes on', async () => {
    const from = { namespace: h2.container.namespace, address: target };
    const transfer = await Transfer.start(lab, from, h1.container, 10e6);
    await lab.restartDaemon(h1, '--datapath-engine', 'dgram');
    expect((await statusJson(h1)).engine?.name).toBe('dgram');
    await transfer.goesOn();

    await lab.restartDaemon(h1, '--datapath-engine', 'native');
    await transfer.goesOn();
    const { pid } = (await statusJson(h1)).engine ?? {};
    await setConfig({ Engine: 'dgram' });
    await untilEngine(h2, 'dgram');
    await transfer.goesOn();
    expect((await statusJson(h1)).engine).toMatchObject({ name: 'native', pid });

    await setConfig({});
    await untilEngine(h2, 'native');
    await transfer.goesOn();
    const { sent, received } = await transfer.finish();
    expect(received).toMatchObject(sent ?? {});
    expect(received).toHaveProperty('sha256');
    await lab.restartDaemon(h1);
    await reached();
  });

  it(`takes ${MANY} routes, in less than 32 MB`, async () => {
    const { engine } = await lab.status(h1);
    const pid = engine?.pid ?? 0;
    // Else the daemon puts its own table back.
    await lab.endDaemon(h1, 'SIGTERM');
    const datapath = await connectDatapath(join(h1.runDir, RUN_FILES.datapathSocket));
    try {
      const { generation } = await datapath.stats();
      const routes = [route(`${target}/32`, h2.address), ...manyRoutes()];
      const began = performance.now();
      await datapath.replaceRoutes({ generation: generation + 1n, local: [Prefix.parse(NETWORK)], routes });
      const took = Math.round(performance.now() - began);
      expect((await datapath.stats()).routes).toBe(MANY + 1);
      await reached();
      const kilobytes = Number(/^VmRSS:\s*(\d+) kB$/m.exec(procStatus(pid))?.[1]);
      process.stdout.write(`${MANY} routes: taken in ${took} ms, the data plane has ${kilobytes} kB\n`);
      if (SANITIZED === undefined) expect(kilobytes).toBeLessThan(MEMORY);
    } finally {
      datapath.close();
    }
    lab.lab.startDaemon(h1);
    const after = await lab.lab.untilReady(h1);
    expect(after.engine).toMatchObject({ pid, routes: 1 });
    await reached();
  });
});

function route(prefix: string, peer: string): Route {
  return { prefix: Prefix.parse(prefix), peer: { address: Ip.parse(peer), port: 8285 } };
}

/** Each to a host of its own (198.18.0.0/15 is for benchmarks, RFC 2544). */
function manyRoutes(): Route[] {
  return Array.from({ length: MANY }, (_, index) =>
    route(`10.${100 + (index >> 8)}.${index & 255}.0/24`, `198.18.${index >> 8}.${index & 255}`),
  );
}
