import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';

describe.skipIf(labObstacle())(`a daemon that comes and goes ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    await until(
      'both know each other',
      async () => (await lab.status(h1)).peers.length === 1 && (await lab.status(h2)).peers.length === 1,
    );
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const modRevision = async (key: string) =>
    /"mod_revision":(\d+)/.exec(await lab.etcdctl('get', '-w', 'json', key))?.[1];

  const problemsOf = async (host: LabHost) =>
    (await lab.status(host).catch(() => undefined))?.problems.join('; ') ?? '';

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`keeps its subnet and its data plane over ${signal}, and no ping is lost`, async () => {
      const before = await lab.status(h1);
      const revision = await modRevision(before.lease?.key ?? '');
      const target = containerAddress([await lab.subnet(h2)]);
      const pinging = lab.on(h1.container.namespace, 'ping', '-n', '-i', '0.02', '-c', '150', '-q', target);
      await lab.endDaemon(h1, signal);
      lab.lab.startDaemon(h1);
      const after = await lab.lab.untilReady(h1);
      expect(after.pid).not.toBe(before.pid);
      expect(after.lease?.subnets).toEqual(before.lease?.subnets);
      expect(after.engine?.pid).toBe(before.engine?.pid);
      expect(await pinging).toMatch(/150 packets transmitted, 150 received/);
      // Nothing was written: peers hear nothing of a restart.
      expect(await modRevision(before.lease?.key ?? '')).toBe(revision);
    });
  }

  it('starts a data plane that was killed again, with its routes', async () => {
    const { engine } = await lab.status(h1);
    process.kill(engine?.pid ?? 0, 'SIGKILL');
    await until('another engine runs', async () => {
      const now = (await lab.status(h1)).engine;
      return now !== undefined && now.pid !== engine?.pid && now.routes === 1;
    });
    expect(await lab.pings(h1.container.namespace, containerAddress([await lab.subnet(h2)]))).toBe(true);
  });

  it('says that a data plane hangs, and is not ready while it does', async () => {
    const pid = (await lab.status(h1)).engine?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      await until('it says so', async () => (await lab.status(h1)).problems.length > 0, 20_000);
      const { ready, problems } = await lab.status(h1);
      expect(ready).toBe(false);
      expect(problems.join()).toMatch(/data plane|engine/);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await until('all is well', async () => (await lab.status(h1)).ready, 20_000);
    expect((await lab.status(h1)).engine?.pid).toBe(pid);
  });

  it('gives the data plane its routes although the firewall cannot be set', async () => {
    const without = await lab.pathWithout('iptables', 'iptables-save', 'iptables-restore');
    await lab.endDaemon(h1, 'SIGTERM');
    lab.lab.startDaemon(h1, [], { PATH: without });
    await until('it says so', async () => (await problemsOf(h1)).includes('the command iptables'));
    await lab.putLease('10.244.250.0-24', '{"PublicIP":"192.0.2.77","PublicIPv6":null}');
    await until('the new route is there', async () => (await lab.status(h1)).engine?.routes === 2);
    await lab.etcdctl('del', '/coreos.com/network/subnets/10.244.250.0-24');
    // What waits for this host, Docker say, does not wait for the firewall.
    expect((await lab.status(h1)).ready).toBe(true);
    await lab.endDaemon(h1, 'SIGTERM');
    lab.lab.startDaemon(h1);
    await lab.lab.untilReady(h1);
  });

  it('puts back a device, a route and firewall rules that somebody removed', async () => {
    const target = containerAddress([await lab.subnet(h2)]);
    const answered = () => lab.pings(h1.container.namespace, target, 0.2);
    await lab.restartDaemon(h1, '--iptables-resync', '1');
    await until('nothing is wrong before', answered);
    await lab.on(h1, 'ip', 'route', 'delete', '10.244.0.0/16');
    await until('the route is back', async () =>
      (await lab.on(h1, 'ip', 'route')).includes('10.244.0.0/16 dev corduroy0'),
    );
    await until('packets go that way', answered);
    await lab.on(h1, 'iptables', '-F', 'FORWARD');
    await until('the jump is back', async () =>
      (await lab.on(h1, 'iptables', '-S', 'FORWARD')).includes('CORDUROY-FORWARD'),
    );
    await lab.on(h1, 'ip', 'link', 'delete', 'corduroy0');
    await until('the device and its engine are back', answered);
  });

  it('leaves devices and routes of others alone', async () => {
    await lab.on(h1, 'ip', 'link', 'add', 'other0', 'type', 'bridge');
    await lab.on(h1, 'ip', 'link', 'set', 'other0', 'up');
    await lab.on(h1, 'ip', 'address', 'add', '203.0.113.1/24', 'dev', 'other0');
    await lab.on(h1, 'ip', 'route', 'add', '198.51.100.0/24', 'dev', 'other0');
    await lab.endDaemon(h1, 'SIGTERM');
    lab.lab.startDaemon(h1);
    await lab.lab.untilReady(h1);
    expect(await lab.on(h1, 'ip', 'route')).toMatch(/198\.51\.100\.0\/24 dev other0/);
  });

  it('refuses a second daemon of its name with another run-dir before it touches anything', async () => {
    const before = await lab.hostState(h1);
    const other = `${h1.runDir}-other`;
    const { code, stderr } = await lab.attempt(
      h1,
      'corduroyd',
      '--run-dir',
      other,
      '--subnet-file',
      `${other}/env`,
    );
    expect(code).toBe(1); // Not as for settings that are wrong: whoever it is may end.
    expect(stderr).toContain('--instance');
    expect(await lab.hostState(h1)).toEqual(before);
  });

  it('refuses to run twice for one run-dir, naming the first', async () => {
    const { pid } = await lab.status(h1);
    const { code, stderr } = await lab.attempt(h1, 'corduroyd');
    expect(code).toBe(1); // Not as for settings that are wrong: whoever it is may end.
    expect(stderr).toContain(`pid ${pid}`);
    expect((await lab.status(h1)).pid).toBe(pid);
  });

  it("refuses a bridge that is somebody else's, saying what to do", async () => {
    await lab.endDaemon(h1, 'SIGTERM');
    lab.lab.startDaemon(h1, ['--bridge', 'other0']);
    await until('it says so', async () => (await problemsOf(h1)).includes('was not made by Corduroy'));
    expect(await lab.on(h1, 'ip', '-br', 'address', 'show', 'other0')).toContain('203.0.113.1/24');
    await lab.endDaemon(h1, 'SIGTERM');
    lab.lab.startDaemon(h1);
    await lab.lab.untilReady(h1);
  });
});
