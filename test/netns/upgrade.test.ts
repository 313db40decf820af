import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { VERSION } from '../../src/version.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';
import { type PingReport, Pings } from '../support/pings.ts';
import { otherBuild, programsUnderTest } from '../support/programs.ts';
import { Transfer } from '../support/transfer.ts';

/** Bytes a second that leave the machine time for pings. */
const EASY = 10e6;
const AS_FAST_AS_IT_GOES = 1e12;
/** Milliseconds: what an outage has to stay below. */
const OUTAGE = 1000;

interface Report extends PingReport {
  /** The longest time without bytes of the connection. Milliseconds. */
  readonly tcpGap: number | undefined;
}

const NEWER = '99.0.0';
/** Of another protocol, too. */
const FUTURE = '99.9.9';

describe.skipIf(labObstacle())(`traffic while programs end and change ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;
  let newer: string;
  let future: string;
  let c1: { namespace: string; address: string };
  let c2: { namespace: string; address: string };

  beforeAll(async () => {
    newer = otherBuild({ version: NEWER });
    future = otherBuild({ version: FUTURE, protocol: 3 });
    lab = await TestLab.start();
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    const containerOf = async ({ container }: LabHost, host: LabHost) => ({
      namespace: container.namespace,
      address: containerAddress([await lab.subnet(host)]),
    });
    c1 = await containerOf(h1, h1);
    c2 = await containerOf(h2, h2);
    await until('the containers reach each other', () => lab.pings(c1.namespace, c2.address));
  });
  afterAll(async () => {
    await lab?.remove();
  });

  /** Pings and one connection that last as long as what is done meanwhile. */
  async function underTraffic(rate: number, work: () => Promise<void>): Promise<Report> {
    const transfer = await Transfer.start(lab, c2, c1, rate);
    const pings = new Pings(c1.namespace, c2.address);
    await transfer.goesOn();
    await work();
    await transfer.goesOn();
    const report = await pings.stop();
    const { sent, received } = await transfer.finish();
    expect(received).toMatchObject(sent ?? {});
    expect(received).toHaveProperty('sha256');
    return {
      ...report,
      tcpGap: received !== undefined && 'longestGap' in received ? received.longestGap : undefined,
    };
  }

  const enginePid = async (host: LabHost) => (await lab.status(host)).engine?.pid ?? 0;

  /** Resolves when an engine that is not the one before holds the routes. */
  async function untilReplaced(host: LabHost, before: number): Promise<void> {
    await until('another data plane runs', async () => {
      const { engine } = await lab.status(host);
      return engine !== undefined && engine.pid !== before && engine.ready;
    });
  }

  async function engineOfFile(host: LabHost): Promise<number> {
    const pids = (await lab.on(host, 'ip', 'netns', 'pids', host.namespace)).split('\n');
    const names = await Promise.all(
      pids.map((pid) => lab.on(host, 'cat', `/proc/${pid}/comm`).catch(() => '')),
    );
    return Number(pids[names.findIndex((name) => name.startsWith('corduroy-datap'))]);
  }

  it('loses nothing while the daemon is killed, starts again, and is upgraded', async () => {
    const before = await lab.status(h1);
    const { answered, lost } = await underTraffic(EASY, async () => {
      await lab.endDaemon(h1, 'SIGKILL');
      lab.lab.startDaemon(h1);
      await lab.lab.untilReady(h1);
      lab.install(newer);
      const after = await lab.restartDaemon(h1);
      expect(after).toMatchObject({ version: NEWER, problems: [] });
      expect(after.engine).toMatchObject({ pid: before.engine?.pid, build: VERSION });
    });
    expect(answered).toBeGreaterThan(50);
    expect(lost).toBe(0);
  });

  it('says which build runs and which is installed, and what replaces it, then does so in a second', async () => {
    const { code, stdout } = await lab.attempt(h1, 'corduroy', 'status');
    expect(code).toBe(0);
    expect(stdout).toContain(`runs ${VERSION}, installed ${NEWER}`);
    expect(stdout).toContain('corduroy datapath restart');
    const report = await underTraffic(EASY, async () => {
      const { outageMs } = JSON.parse(await lab.on(h1, 'corduroy', 'datapath', 'restart', '--json'));
      expect(outageMs).toBeLessThan(OUTAGE);
    });
    say('corduroy datapath restart', report);
    expect(report.longestGap).toBeLessThan(OUTAGE);
    expect((await lab.status(h1)).engine?.build).toBe(NEWER);
    expect((await lab.attempt(h1, 'corduroy', 'status')).stdout).not.toContain('installed');
  });

  it('goes on within a second when a data plane is killed under load', async () => {
    for (const host of [h1, h2]) {
      const before = await enginePid(host);
      const report = await underTraffic(AS_FAST_AS_IT_GOES, async () => {
        process.kill(before, 'SIGKILL');
        await untilReplaced(host, before);
      });
      say(`SIGKILL for the data plane of ${host.name}, under load`, report);
      expect(report.longestGap).toBeLessThan(OUTAGE);
    }
  });

  const problemsOf = async (host: LabHost) => (await lab.status(host)).problems.join('; ');

  it('goes on beside a daemon of another protocol, which says how to replace it', async () => {
    const before = await enginePid(h1);
    lab.install(future);
    const { lost } = await underTraffic(EASY, async () => {
      await lab.endDaemon(h1, 'SIGTERM');
      lab.lab.startDaemon(h1);
      await until('it says so', async () =>
        (await problemsOf(h1).catch(() => '')).includes('speaks version 2 of the protocol'),
      );
      expect(await problemsOf(h1)).toContain('corduroy datapath restart');
      expect((await lab.attempt(h1, 'corduroy', 'status')).code).toBe(1);
      expect(await engineOfFile(h1)).toBe(before);
    });
    expect(lost).toBe(0);
    const report = await underTraffic(EASY, async () => {
      await lab.on(h1, 'corduroy', 'datapath', 'restart');
    });
    say('corduroy datapath restart, of a data plane of an older protocol', report);
    expect(report.longestGap).toBeLessThan(OUTAGE);
    const { engine, problems } = await lab.status(h1);
    expect(engine?.build).toBe(FUTURE);
    expect(problems).toEqual([]);
  });

  it('is left alone by a daemon of an older protocol, and replaced within a second of its end', async () => {
    const before = await enginePid(h1);
    lab.install(programsUnderTest());
    const { lost } = await underTraffic(EASY, async () => {
      await lab.endDaemon(h1, 'SIGTERM');
      lab.lab.startDaemon(h1);
      await until('it says so', async () =>
        (await problemsOf(h1).catch(() => '')).includes('speaks version 3 of the protocol'),
      );
      expect(await engineOfFile(h1)).toBe(before);
    });
    expect(lost).toBe(0);
    const report = await underTraffic(EASY, async () => {
      process.kill(before, 'SIGKILL');
      await untilReplaced(h1, before);
    });
    say('SIGKILL for a data plane of another protocol', report);
    expect(report.longestGap).toBeLessThan(OUTAGE);
    await until('all is well', async () => (await lab.status(h1)).ready);
    expect((await lab.status(h1)).engine?.build).toBe(VERSION);
  });
});

/** For people, who want to know how far below the limit it was. */
function say(what: string, { longestGap, lost, tcpGap }: Report): void {
  process.stdout.write(
    `outage, ${what}: ${longestGap} ms by pings every 10 ms (lost: ${lost}), TCP stood still for ${tcpGap} ms
`,
  );
}
