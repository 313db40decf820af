import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RUN_FILES } from '../../src/config/names.ts';
import { daemonRequest, reloadDaemon } from '../../src/daemon/control-client.ts';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { messageOf } from '../../src/errors.ts';
import { isRunning } from '../../src/host/is-running.ts';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

/** Prints the status of a GET. */
const GET = 'fetch(process.argv[1]).then(({ status }) => console.log(status), () => console.log("refused"))';
/** Another program that serves something on the port. */
const LISTEN = `require('http').createServer((_, response) => response.writeHead(404).end()).listen(9002)`;

describe.skipIf(labObstacle())(`settings that change while a daemon runs ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let file: string;

  const write = (settings: object) => writeFileSync(file, JSON.stringify(settings));
  const reload = async () => await lab.attempt(h1, 'corduroy', 'reload', '--json', `--config-file=${file}`);
  const problems = async () => (await lab.status(h1)).problems.join('; ');

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    file = join(dirname(h1.runDir), 'settings.json');
    write({});
    await lab.restartDaemon(h1, `--config-file=${file}`);
    await until('both know each other', async () => (await lab.status(h2)).peers.length === 1);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('are taken up by the same process; no ping is lost, and etcd hears nothing', async () => {
    const before = await lab.status(h1);
    const leases = await lab.etcdctl('get', '--prefix', `${NETWORK_PREFIX}/subnets/`, '-w', 'json');
    const target = containerAddress([await lab.subnet(h2)]);
    const pinging = lab.on(h1.container.namespace, 'ping', '-n', '-i', '0.02', '-c', '100', '-q', target);
    write({ 'ip-blackhole-route': true, 'log-level': 'debug' });
    const { stdout } = await reload();
    expect(JSON.parse(stdout)).toEqual({ schema: 1, changed: ['ip-blackhole-route', 'log-level'] });
    const after = await lab.lab.untilReady(h1);
    expect([after.pid, after.engine?.pid]).toEqual([before.pid, before.engine?.pid]);
    expect(after.lease?.subnets).toEqual(before.lease?.subnets);
    expect(await lab.on(h1, 'ip', 'route', 'show', 'type', 'blackhole')).toContain(before.lease?.subnets[0]);
    expect(await pinging).toMatch(/100 packets transmitted, 100 received/);
    const revisions = (text: string) => text.match(/"mod_revision":\d+/g);
    const now = await lab.etcdctl('get', '--prefix', `${NETWORK_PREFIX}/subnets/`, '-w', 'json');
    expect(revisions(now)).toEqual(revisions(leases));
  });

  it('are taken up at SIGHUP as well', async () => {
    write({});
    process.kill((await lab.status(h1)).pid, 'SIGHUP');
    await until(
      'the blackhole route is gone',
      async () => (await lab.on(h1, 'ip', 'route', 'show', 'type', 'blackhole')) === '',
    );
    expect((await lab.lab.untilReady(h1)).problems).toEqual([]);
  });

  it('change nothing where nothing has changed', async () => {
    expect(JSON.parse((await reload()).stdout)).toEqual({ schema: 1, changed: [] });
    expect((await lab.status(h1)).ready).toBe(true);
  });

  it.each([
    ['{"ifcae": "eth0"}', /"ifcae" in .* is not a setting/],
    ['{"ip-masq": ', /is not JSON/],
    ['{"docker": "options"}', /--docker options and --bridge .* each give this host's subnet to a bridge/],
    ['{"etcd-username": "u", "etcd-password-file": "/nowhere"}', /--etcd-password-file .*\/nowhere/],
  ])('are refused, with the reason, and those before stay in use: %s', async (text, reason) => {
    const { engine, pid } = await lab.status(h1);
    writeFileSync(file, text);
    process.kill(pid, 'SIGHUP');
    await until('it says so', async () => reason.test(await problems()));
    expect(await lab.status(h1)).toMatchObject({ ready: true, pid, engine: { pid: engine?.pid } });
    const { code, stderr } = await reload();
    expect([code, stderr]).toEqual([1, expect.stringMatching(reason)]);
    write({});
    expect((await reload()).code).toBe(0);
    expect(await problems()).toBe('');
  });

  it('that cannot be read keep nobody from asking the daemon how it is', async () => {
    write({ 'log-level': 'loud' });
    const { code, stdout } = await lab.attempt(h1, 'corduroy', 'status', '--json', `--config-file=${file}`);
    const { ready, problems } = JSON.parse(stdout) as StatusDocument;
    expect([code, ready]).toEqual([1, true]);
    expect(problems).toEqual([
      expect.stringMatching(/next start or reload would fail: "log-level" in .* is "loud"/),
    ]);
    write({});
  });

  it('are refused when the health port is taken, which stays served where it was', async () => {
    const get = async (port: number) =>
      await lab.on(h1, process.execPath, '-e', GET, `http://127.0.0.1:${port}/readyz`);
    write({ 'healthz-port': 9001 });
    expect((await reload()).code).toBe(0);
    await lab.lab.untilReady(h1);
    expect(await get(9001)).toBe('200');
    const taken = lab.spawn(h1.namespace, process.execPath, '-e', LISTEN);
    await until('the port is taken', async () => (await get(9002)) === '404');
    write({ 'healthz-port': 9002, 'ip-blackhole-route': true });
    const { code, stderr } = await reload();
    expect([code, stderr]).toEqual([1, expect.stringMatching(/9002.*EADDRINUSE/)]);
    expect(await get(9001)).toBe('200');
    taken.kill();
    write({});
    expect((await reload()).code).toBe(0);
  });

  it('may be asked for before there are any: the process lives, and reads them', async () => {
    const pipe = join(dirname(h1.runDir), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const early = lab.spawn(h1.namespace, 'corduroyd', `--config-file=${pipe}`);
    const ended = once(early, 'exit');
    const writer = await open(pipe, 'w'); // Succeeds when the other end is being read.
    process.kill(early.pid ?? Number.NaN, 'SIGHUP');
    await writer.writeFile('{"ifcae": "eth0"}');
    await writer.close();
    expect(await ended).toEqual([2, null]);
  });

  describe('just before the lease is given back', () => {
    const socket = () => join(h1.runDir, RUN_FILES.daemonSocket);
    const release = async () => await daemonRequest(socket(), 'POST', '/v1/stop?release=true');
    const leaseOf = async (subnet: string) =>
      await lab.etcdctl('get', `${NETWORK_PREFIX}/subnets/${subnet.replace('/', '-')}`);

    beforeEach(async () => {
      write({});
      if ((await lab.attempt(h1, 'corduroy', 'status')).code === 3)
        lab.lab.startDaemon(h1, [`--config-file=${file}`]);
      await lab.lab.untilReady(h1);
    });

    it.each(['after the reload', 'while it goes on', 'with the reload right behind it'])(
      'a daemon that says it has done so has: %s',
      async (order) => {
        const { pid, lease } = await lab.status(h1);
        const subnet = lease?.subnets[0] ?? 'none';
        expect(await leaseOf(subnet)).not.toBe('');
        write({ 'ip-blackhole-route': true });
        const reloading = () => reloadDaemon(socket()).catch(() => undefined);
        const first = order === 'with the reload right behind it' ? undefined : reloading();
        if (order === 'after the reload') await first;
        const released = release();
        if (first === undefined) await reloading();
        await first;
        // What it cannot do yet it says.
        const said = await released.catch(messageOf);
        if (typeof said === 'string') {
          expect(said).toContain('not taken up');
          await lab.lab.untilReady(h1);
          await release();
        }
        await until('it has ended', () => !isRunning(pid));
        expect(await leaseOf(subnet)).toBe('');
      },
    );
  });
});
