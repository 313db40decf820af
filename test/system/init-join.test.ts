import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseToken } from '../../src/enroll/token.ts';
import { until } from '../support/lab.ts';
import { hostObstacle, NspawnHost, type Outcome } from '../support/nspawn.ts';
import { joinLine, statusOf } from '../support/nspawn-cluster.ts';
import { Lan } from '../support/nspawn-lan.ts';
import { debObstacle, installDeb } from '../support/nspawn-package.ts';

const obstacle = hostObstacle() ?? debObstacle();

/** What the two commands do beside the plain way, which hosts.test.ts goes. */
describe.skipIf(obstacle)(`corduroy init, join and token on real hosts ${obstacle ?? ''}`, () => {
  let lan: Lan;
  let one: NspawnHost;
  let two: NspawnHost;
  let hosts: readonly NspawnHost[] = [];

  beforeAll(async () => {
    lan = await Lan.create();
    one = await NspawnHost.start('one', lan, '192.0.2.11');
    two = await NspawnHost.start('two', lan, '192.0.2.12');
    hosts = [one, two];
    await Promise.all(hosts.map((host) => installDeb(host)));
  });
  afterAll(async () => {
    for (const host of hosts) await host.remove();
    await lan?.remove();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    for (const host of hosts) process.stderr.write(`${await host.journal()}\n`);
  });

  const corduroy = (host: NspawnHost, ...args: string[]): Promise<Outcome> =>
    host.attempt('corduroy', ...args);
  const problems = async (host: NspawnHost) => (await statusOf(host)).problems;
  const well = (host: NspawnHost) =>
    until(`${host.name} is well`, async () => (await problems(host)).length === 0, 20_000);
  const mainPid = (host: NspawnHost, unit: string) => host.run('systemctl', 'show', '-P', 'MainPID', unit);
  const tokenOf = ({ stdout }: Outcome) => joinLine(stdout)?.split(' ').at(-1) ?? '';
  let init: Outcome;

  it('says who holds the port of etcd, and how to free it', async () => {
    await one.run(
      'systemd-run',
      ...['--unit=other-etcd', '--property=Type=notify', '--', '/usr/bin/etcd', '--data-dir=/run/other-etcd'],
      ...['--listen-client-urls=http://0.0.0.0:2379', '--advertise-client-urls=http://127.0.0.1:2379'],
    );
    const refused = await corduroy(one, 'init');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(
      /etcd \(pid \d+, other-etcd\.service\) listens on TCP port 2379.*systemctl disable --now other-etcd\.service/,
    );
    await one.run('systemctl', 'stop', 'other-etcd');
  });

  it("is one command, also beside Debian's own etcd, and for a root with a strict umask", async () => {
    await one.run('systemctl', 'start', 'etcd');
    init = await one.attempt('sh', '-c', 'umask 077 && corduroy init --network 10.77.0.0/16');
    expect(init).toMatchObject({ code: 0 });
    expect(init.stderr).toContain('systemctl disable --now etcd');
    expect(init.stdout).toMatch(
      /^The network 10\.77\.0\.0\/16 is kept in etcd at https:\/\/192\.0\.2\.11:2379, and this host has 10\.77\.\d+\.0\/24\.$/m,
    );
    expect(await one.run('systemctl', 'is-enabled', 'corduroyd', 'corduroy-etcd')).toBe('enabled\nenabled');
    await well(one);
    await one.run('systemctl', 'disable', '--now', 'etcd');
  });

  it('containers can reach the world, also after a boot', async () => {
    expect(await one.run('cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1');
    await one.sh('echo 0 >/proc/sys/net/ipv4/ip_forward; systemctl restart systemd-sysctl');
    expect(await one.run('cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1');
  });

  it('etcd has an unprivileged process, and its keys and passwords are readable to nobody else', async () => {
    expect(await one.run('ps', '-o', 'user=', '-p', await mainPid(one, 'corduroy-etcd'))).toBe('etcd');
    const secrets = await one.sh(
      'stat -c "%n %U %a" /etc/corduroy/pki/*.key /etc/corduroy/admin.json /etc/corduroy/etcd-password',
    );
    expect(secrets.split('\n')).toEqual([
      '/etc/corduroy/pki/ca.key root 600',
      '/etc/corduroy/pki/etcd.key etcd 600',
      '/etc/corduroy/admin.json root 600',
      '/etc/corduroy/etcd-password root 600',
    ]);
    const { stdout } = await one.attempt(
      'systemd-analyze',
      'security',
      '--no-pager',
      'corduroy-etcd.service',
    );
    expect(
      Number(/exposure level for corduroy-etcd\.service: ([\d.]+)/.exec(stdout)?.[1]),
    ).toBeLessThanOrEqual(2);
  });

  it('run again, it restarts nothing, and tells of the token that there is', async () => {
    const before = await Promise.all(['corduroy-etcd', 'corduroyd'].map((unit) => mainPid(one, unit)));
    const again = await corduroy(one, 'init');
    expect(again).toMatchObject({ code: 0 });
    expect(joinLine(again.stdout)).toBeUndefined();
    expect(again.stdout).toMatch(/Token [0-9a-f]{10}, made earlier, lets hosts in for another 23 h/);
    const { stdout } = await corduroy(one, 'init', '--json');
    const { lease } = await statusOf(one);
    expect(JSON.parse(stdout)).toEqual({
      schema: 1,
      started: true,
      etcd: ['https://192.0.2.11:2379'],
      networks: ['10.77.0.0/16'],
      subnets: lease?.subnets,
    });
    expect(await Promise.all(['corduroy-etcd', 'corduroyd'].map((unit) => mainPid(one, unit)))).toEqual(
      before,
    );
  });

  it('join takes the token from standard input, and says what the host has got', async () => {
    const token = tokenOf(init);
    const joined = await two.attempt('sh', '-c', `echo '${token}' | corduroy join -`);
    expect(joined).toMatchObject({ code: 0 });
    expect(joined.stdout).toMatch(/^this host has 10\.77\.\d+\.0\/24; it knows one \(10\.77\.\d+\.0\/24\)$/m);
    await well(two);
    for (const host of hosts) expect((await statusOf(host)).peers).toHaveLength(1);
  });

  it('nothing that is printed or logged holds a password or a secret', async () => {
    const password = await one.run('cat', '/etc/corduroy/etcd-password');
    const root =
      (JSON.parse(await one.run('cat', '/etc/corduroy/admin.json')) as Record<string, string>)[
        'etcd-password'
      ] ?? '';
    const again = await Promise.all([
      corduroy(one, 'init'),
      corduroy(two, 'join', tokenOf(init)),
      corduroy(one, 'token', 'list'),
    ]);
    const journals = await Promise.all(hosts.map((host) => host.journal()));
    const texts = [JSON.stringify([init, again]), ...journals];
    expect([password.length, root.length]).toEqual([22, 22]);
    for (const secret of [password, root]) expect(texts.filter((text) => text.includes(secret))).toEqual([]);
    const { secret } = parseToken(tokenOf(init));
    for (const word of [tokenOf(init), secret])
      expect([...journals, JSON.stringify(again)].filter((text) => text.includes(word))).toEqual([]);
  });

  it('join again changes nothing, and the daemon goes on', async () => {
    const before = await mainPid(two, 'corduroyd');
    const { lease } = await statusOf(two);
    expect(await corduroy(two, 'join', tokenOf(init))).toMatchObject({ code: 0 });
    expect([await mainPid(two, 'corduroyd'), (await statusOf(two)).lease?.key]).toEqual([before, lease?.key]);
  });

  it('after token rotate --hosts the old token and the old password are worth nothing; joining again mends it', async () => {
    const { lease } = await statusOf(two);
    const etcd = await mainPid(one, 'corduroy-etcd');
    const rotated = await corduroy(one, 'token', 'rotate', '--hosts', '--ttl', '1h');
    expect(
      await mainPid(one, 'corduroy-etcd'),
      'watches end with the process that they were made in',
    ).not.toBe(etcd);
    expect(rotated).toMatchObject({ code: 0, stdout: expect.stringMatching(/^cdy1\.\S+\n$/) });
    const refused = await corduroy(two, 'join', tokenOf(init));
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/was revoked.*corduroy token create/),
    });
    await until(
      'etcd refuses the host, whose daemon has run all the while',
      async () => (await problems(two).catch(() => [])).some((text) => /refuses|password/.test(text)),
      20_000,
    );
    expect(await corduroy(two, 'join', rotated.stdout.trim())).toMatchObject({ code: 0 });
    await well(two);
    await well(one);
    expect((await statusOf(two)).lease?.key).toBe(lease?.key);
  });

  it('a host of another cluster is not taken away without --force, and one that keeps its etcd not at all', async () => {
    expect(await corduroy(two, 'init', '--network', '10.78.0.0/16')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/in a cluster already.*192\.0\.2\.11:2379.*--force/),
    });
    await two.run(
      'systemd-run',
      ...['--unit=other-etcd', '--property=Type=notify', '--', '/usr/bin/etcd', '--data-dir=/run/other-etcd'],
      ...['--listen-client-urls=http://0.0.0.0:2379', '--advertise-client-urls=http://127.0.0.1:2379'],
    );
    expect(await corduroy(two, 'init', '--network', '10.78.0.0/16', '--force')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('listens on TCP port 2379'),
    });
    expect((await statusOf(two)).peers, 'it has not left the cluster that it is in').toHaveLength(1);
    await two.run('systemctl', 'stop', 'other-etcd');
    expect(await corduroy(two, 'init', '--network', '10.78.0.0/16', '--force')).toMatchObject({ code: 0 });
    await well(two);
    expect((await statusOf(two)).lease?.subnets[0]).toMatch(/^10\.78\./);
    await until(
      'the other host has lost its peer',
      async () => (await statusOf(one)).peers.length === 0,
      20_000,
    );
    const { stdout: token } = await corduroy(one, 'token', 'create');
    const kept = await corduroy(two, 'join', '--force', token.trim());
    expect(kept).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('systemctl disable --now corduroyd corduroy-etcd'),
    });
    await two.sh(`corduroy down; systemctl disable --now corduroyd corduroy-etcd
      mv /etc/corduroy /etc/corduroy.before; mv /var/lib/corduroy/etcd /root/etcd.before`);
    expect(await corduroy(two, 'join', token.trim())).toMatchObject({ code: 0 });
    await well(two);
    expect((await statusOf(two)).peers).toHaveLength(1);
  });

  it('a host goes from one cluster to another with --force', async () => {
    await two.sh(
      `sed -i 's/192.0.2.11/192.0.2.99/' /etc/corduroy/corduroyd.json; rm /etc/corduroy/pki/ca.pem`,
    );
    const { stdout: token } = await corduroy(one, 'token', 'create');
    expect(await corduroy(two, 'join', token.trim())).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('192.0.2.99:2379'),
    });
    expect(await corduroy(two, 'join', '--force', token.trim())).toMatchObject({ code: 0 });
    await well(two);
  });

  it('etcd moves to another address, and hosts follow when they join again', async () => {
    await one.run('ip', 'address', 'add', '192.0.2.21/24', 'dev', 'eth0');
    expect(await corduroy(one, 'init', '--address', '192.0.2.21')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--renew'),
    });
    const moved = await corduroy(one, 'init', '--renew', '--address', '192.0.2.21');
    expect(moved).toMatchObject({ code: 0 });
    expect(await corduroy(two, 'join', tokenOf(moved))).toMatchObject({ code: 0 });
    for (const host of hosts) {
      await well(host);
      expect((await statusOf(host)).etcd.endpoints).toEqual(['https://192.0.2.21:2379']);
    }
  });

  it('a token whose lease outlives its end is revoked by the unit of a timer', async () => {
    expect(await one.run('systemctl', 'is-active', 'corduroy-token-sweep.timer')).toBe('active');
    const { stdout: token } = await corduroy(one, 'token', 'create', '--ttl', '1h');
    const key = `/corduroy-join/${parseToken(token).id}`;
    const admin = JSON.parse(await one.run('cat', '/etc/corduroy/admin.json')) as Record<string, string>;
    const etcdctl = (...words: string[]) =>
      one.run(
        'etcdctl',
        ...['--endpoints=https://192.0.2.21:2379', '--cacert=/etc/corduroy/pki/ca.pem'],
        ...[`--user=root:${admin['etcd-password']}`, ...words],
      );
    const bundle = JSON.parse(await etcdctl('get', '--print-value-only', key)) as object;
    const ended = { ...bundle, endsAt: new Date(Date.now() - 1000).toISOString() };
    await etcdctl('put', '--ignore-lease', key, JSON.stringify(ended));
    await one.run('systemctl', 'start', 'corduroy-token-sweep.service');
    expect(await etcdctl('get', '--keys-only', key)).toBe('');
    expect(await corduroy(two, 'join', token.trim())).toMatchObject({ code: 1 });
  });

  it('what is no token, or not whole, is wrong use', async () => {
    for (const text of ['', 'nonsense', tokenOf(init).slice(0, -3)])
      expect(await corduroy(two, 'join', text)).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/^corduroy: the join token /),
      });
    expect(await corduroy(two, 'token', 'create')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('where corduroy init was run'),
    });
  });
});
