import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namesFor } from '../../src/config/names.ts';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { until } from '../support/lab.ts';
import { hostObstacle, NspawnHost } from '../support/nspawn.ts';
import { Lan } from '../support/nspawn-lan.ts';
import { debObstacle, installDeb } from '../support/nspawn-package.ts';

const obstacle = hostObstacle() ?? debObstacle();
const DAEMON = 'corduroyd.service';
const ENGINE = 'corduroy-datapath.service';
const CONFIG = '/etc/corduroy/corduroyd.json';
/** Of the defaults the one that answers: a write is tried at one endpoint only. */
const ETCD = '--etcd-endpoints=http://127.0.0.1:2379';
const NETWORK = '{"Network": "10.5.0.0/16"}';

describe.skipIf(obstacle)(`a host with systemd ${obstacle ?? ''}`, () => {
  let lan: Lan;
  let host: NspawnHost;

  beforeAll(async () => {
    lan = await Lan.create();
    host = await NspawnHost.start('a', lan, '192.0.2.11');
    await host.settled();
    await installDeb(host);
    // What --ip-masq asks for; without it the health lines would not be empty.
    await host.run('sysctl', '-qw', 'net.ipv4.ip_forward=1');
  });
  afterAll(async () => {
    await host?.remove();
    await lan?.remove();
  });

  const show = async (unit: string, property: string) =>
    await host.run('systemctl', 'show', '--value', `--property=${property}`, unit);
  const state = async (unit: string) => await show(unit, 'ActiveState');
  const mainPid = async (unit: string) => Number(await show(unit, 'MainPID'));
  const statusLine = async (unit = DAEMON) => await show(unit, 'StatusText');
  const configure = async (settings: object) => await host.write(CONFIG, JSON.stringify(settings));
  const status = async (...flags: string[]): Promise<StatusDocument> => {
    const { stdout } = await host.attempt('corduroy', 'status', '--json', ...flags);
    return JSON.parse(stdout) as StatusDocument;
  };
  const signal = async (name: string) =>
    await host.run('systemctl', 'kill', '--kill-whom=main', `--signal=${name}`, DAEMON);
  const isReady = async () => (await status()).ready;
  const settle = async () => {
    await until('ready', isReady, 20_000);
    expect((await status()).problems).toEqual([]);
  };

  /** For the notes of who runs the tests. */
  const say = (line: string) => process.stdout.write(`${line}\n`);

  it('stays idle without a configuration, enabled or not', async () => {
    await host.run('systemctl', 'enable', '--now', DAEMON);
    expect(await state(DAEMON)).toBe('inactive');
    expect(await show(DAEMON, 'ConditionResult')).toBe('no');
    await host.run('systemctl', 'start', ENGINE);
    expect(await state(ENGINE)).toBe('inactive');
    expect((await host.attempt('systemctl', 'start', 'corduroy-online.target')).code).not.toBe(0);
    expect((await host.attempt('ls', namesFor('').runDir)).code).not.toBe(0);
  });

  it('says what a start failed for, and does not try again before that is mended', async () => {
    await configure({ ifcae: 'eth0' });
    expect((await host.attempt('systemctl', 'start', DAEMON)).code).not.toBe(0);
    expect(await state(DAEMON)).toBe('failed');
    const { stdout } = await host.attempt('systemctl', 'status', DAEMON);
    expect(stdout).toMatch(/Status: ".*"ifcae" in .*corduroyd\.json is not a setting; the settings are .*"/);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(await show(DAEMON, 'NRestarts')).toBe('0');
  });

  it('tries again where another holds what it needs, a port say, and says so meanwhile', async () => {
    await configure({ 'healthz-port': 9001 });
    const listen = 'require("net").createServer().listen(9001, "127.0.0.1")';
    await host.run('systemd-run', '--unit=holder', 'node', '-e', listen);
    await until('the port is taken', async () => (await host.run('ss', '-ltn')).includes(':9001'));
    await host.run('systemctl', 'start', '--no-block', DAEMON);
    await until('it has tried twice', async () => Number(await show(DAEMON, 'NRestarts')) > 0, 20_000);
    await until('it says so', async () => /--healthz-port 9001: .*EADDRINUSE/.test(await statusLine()));
    await host.run('systemctl', 'stop', 'holder');
    await until('it goes on', async () => /etcd/.test(await statusLine()), 20_000);
    expect(await state(DAEMON)).toBe('activating');
    await host.run('systemctl', 'stop', DAEMON);
  });

  it('says what it waits for, and is started when containers can be connected', async () => {
    await host.write(
      '/etc/systemd/system/later.service',
      '[Unit]\nWants=corduroy-online.target\nAfter=corduroy-online.target\n' +
        '[Service]\nType=oneshot\nExecStart=/bin/cp /run/flannel/subnet.env /run/seen\n',
    );
    await configure({ bridge: 'cbr0' });
    await host.run('systemctl', 'daemon-reload');
    await host.run('systemctl', 'start', '--no-block', 'later.service');
    await until('it says so', async () => /etcd/.test(await statusLine()));
    expect(await state(DAEMON)).toBe('activating');
    await host.run('systemctl', 'start', 'etcd');
    await until('it says so', async () => /there is no network config/.test(await statusLine()), 20_000);
    expect(await state(DAEMON)).toBe('activating');
    await host.run('corduroy', 'config', 'set', ETCD, NETWORK);
    await until('it is active', async () => (await state(DAEMON)) === 'active', 20_000);
    await until('the other has seen it', async () => host.read('/run/seen').includes('FLANNEL_SUBNET=10.5.'));
    expect(await state('corduroy-online.target')).toBe('active');
    const { lease, problems } = await status();
    expect(problems).toEqual([]);
    expect(await statusLine()).toBe(`ready: ${lease?.subnets[0]}, peers: 0`);
  });

  it('moves packets in a unit of its own, as a user without rights', async () => {
    const pid = await mainPid(ENGINE);
    expect((await status()).engine?.pid).toBe(pid);
    expect(await host.run('ps', '-o', 'user=', '-p', `${pid}`)).toBe('corduroy');
    const process = host.read(`/proc/${pid}/status`);
    expect(process).toMatch(/^CapEff:\t0{16}$/m);
    expect(process).toMatch(/^CapPrm:\t0{16}$/m);
    expect(process).toMatch(/^NoNewPrivs:\t1$/m);
    // One that systemd has set is there in any case.
    expect(await host.journal(ENGINE)).toMatch(/configured: .*; system calls are filtered$/m);
  });

  it('says in its status line when something is wrong, and when it is over', async () => {
    await host.run('systemctl', 'stop', 'etcd');
    await until('it says so', async () => /^ready: .*; but .*etcd/.test(await statusLine()), 20_000);
    expect(await state(DAEMON)).toBe('active');
    await host.run('systemctl', 'start', 'etcd');
    await until('it says so', async () => /^ready: [^;]*$/.test(await statusLine()), 30_000);
  });

  describe('reload', () => {
    it('takes changed settings up, in the same process and with the same data plane', async () => {
      const [daemon, engine] = [await mainPid(DAEMON), await mainPid(ENGINE)];
      await configure({ bridge: 'cbr0', 'ip-masq': true });
      await host.run('systemctl', 'reload', DAEMON);
      await until('it masquerades', async () =>
        (await host.run('nft', 'list', 'tables')).includes('corduroy'),
      );
      await until('ready', isReady);
      expect([await mainPid(DAEMON), await mainPid(ENGINE)]).toEqual([daemon, engine]);
      expect(host.read('/run/flannel/subnet.env')).toContain('FLANNEL_IPMASQ=true');
      expect(await host.run('corduroy', 'reload')).toBe('nothing has changed');
    });

    it('refuses bad ones with a sentence, keeps the old ones, and says so until they are mended', async () => {
      const daemon = await mainPid(DAEMON);
      await configure({ bridge: 'cbr0', 'ip-masq': 'perhaps' });
      expect((await host.attempt('systemctl', 'reload', DAEMON)).code).not.toBe(0);
      await until('it says so', async () => (await statusLine()).includes('"perhaps"; it is true or false'));
      expect(await state(DAEMON)).toBe('active');
      await configure({ bridge: 'cbr0', 'ip-masq': true, 'run-dir': '/run/other' });
      const { code, stderr } = await host.attempt('corduroy', 'reload', '--run-dir=/run/corduroy');
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/--run-dir cannot change while corduroyd runs/),
      ]);
      await configure({ bridge: 'cbr0', 'ip-masq': true });
      await signal('HUP');
      await until('all is well', async () => /^ready: [^;]*$/.test(await statusLine()));
      expect(await mainPid(DAEMON)).toBe(daemon);
      expect((await status()).problems).toEqual([]);
    });

    it('puts another engine in place, which may use the same unit', async () => {
      for (const engine of ['dgram', 'native']) {
        await configure({ bridge: 'cbr0', 'datapath-engine': engine });
        await host.run('systemctl', 'reload', DAEMON);
        await until(
          `${engine} runs`,
          async () => (await status()).engine?.name === engine && (await isReady()),
          20_000,
        );
        expect((await status()).engine?.pid).toBe(await mainPid(ENGINE));
        expect(await host.run('ps', '-o', 'user=', '-p', `${await mainPid(ENGINE)}`)).toBe('corduroy');
        expect((await status()).problems).toEqual([]);
      }
    });
  });

  describe('the watchdog', () => {
    const DROP_IN = `/etc/systemd/system/${DAEMON}.d/test.conf`;

    beforeAll(async () => {
      await host.write('/root/loop.cjs', "process.on('SIGUSR2', () => { for (;;) Math.random(); });\n");
      // In a folder that the unit may read.
      await host.run('cp', '/root/loop.cjs', '/usr/lib/loop.cjs');
      const settings = 'WatchdogSec=2\nEnvironment=NODE_OPTIONS=--require=/usr/lib/loop.cjs\n';
      await host.write(DROP_IN, `[Service]\n${settings}`);
      await host.run('systemctl', 'daemon-reload');
    });
    afterAll(async () => {
      await host.run('rm', DROP_IN);
      await host.run('systemctl', 'daemon-reload');
      await host.run('systemctl', 'restart', DAEMON);
    });

    it.each([
      ['is stopped', 'STOP'],
      ['loops', 'USR2'],
    ] as const)('restarts a daemon that %s; the data plane goes on', async (_how, name) => {
      await host.run('systemctl', 'restart', DAEMON);
      const engine = await mainPid(ENGINE);
      const before = await mainPid(DAEMON);
      // One that lives is left alone.
      await new Promise((resolve) => setTimeout(resolve, 3500));
      expect(await mainPid(DAEMON)).toBe(before);
      await signal(name);
      const took = await until(
        'another runs',
        async () => ![0, before].includes(await mainPid(DAEMON)) && (await state(DAEMON)) === 'active',
        20_000,
      );
      say(`watchdog of 2 s, daemon ${name}: another was ready after ${Math.round(took)} ms`);
      expect(await host.journal(DAEMON)).toMatch(/Watchdog timeout/);
      expect(await mainPid(ENGINE)).toBe(engine);
      await settle();
    });
  });

  describe('whatever is stopped and started, in whatever order', () => {
    it('the data plane outlives the daemon, and the next one takes it over', async () => {
      const engine = await mainPid(ENGINE);
      await host.run('systemctl', 'stop', DAEMON);
      expect(await state(ENGINE)).toBe('active');
      expect(await statusLine()).toMatch(/^stopped; the data plane goes on forwarding/);
      expect(host.read('/run/flannel/subnet.env')).toContain('FLANNEL_SUBNET');
      await host.run('systemctl', 'start', DAEMON);
      await settle();
      expect(await mainPid(ENGINE)).toBe(engine);
    });

    it.each([
      ['the data plane restarted', [['restart', ENGINE]]],
      ['the data plane stopped', [['stop', ENGINE]]],
      ['the data plane killed', [['kill', '--signal=KILL', ENGINE]]],
      ['both restarted', [['restart', DAEMON, ENGINE]]],
      ['both restarted, the data plane first', [['restart', ENGINE, DAEMON]]],
      [
        'both stopped, the daemon started',
        [
          ['stop', DAEMON, ENGINE],
          ['start', DAEMON],
        ],
      ],
      [
        'both stopped, the data plane started first',
        [
          ['stop', ENGINE, DAEMON],
          ['start', ENGINE],
          ['start', DAEMON],
        ],
      ],
      ['the daemon killed', [['kill', '--signal=KILL', DAEMON]]],
    ])('%s: it heals by itself', async (what, steps) => {
      const before = [await mainPid(DAEMON), await mainPid(ENGINE)].join();
      for (const words of steps) await host.run('systemctl', ...words);
      const healed = async () =>
        [await mainPid(DAEMON), await mainPid(ENGINE)].join() !== before && (await isReady());
      const took = await until('it has healed', async () => await healed().catch(() => false), 8000);
      say(`${what}: ready after ${Math.round(took)} ms`);
      await settle();
      expect((await status()).engine?.pid).toBe(await mainPid(ENGINE));
    });

    it('corduroy datapath restart replaces the engine of the unit', async () => {
      const engine = await mainPid(ENGINE);
      expect(await host.run('corduroy', 'datapath', 'restart')).toMatch(
        /^restarted: native .*ms without forwarding/,
      );
      expect(await mainPid(ENGINE)).not.toBe(engine);
      await settle();
    });
  });

  it('runs another instance beside the first', async () => {
    await host.write(
      '/etc/corduroy/corduroyd-lab.json',
      JSON.stringify({ 'etcd-prefix': '/lab', bridge: 'cbr-lab' }),
    );
    const document = '{"Network": "10.6.0.0/16", "Backend": {"Type": "udp", "Port": 8286}}';
    await host.run('corduroy', 'config', 'set', ETCD, '--instance=lab', document);
    await host.run('systemctl', 'start', 'corduroyd@lab');
    const lab = await status('--instance=lab');
    expect(lab).toMatchObject({ ready: true, problems: [], instance: 'lab' });
    expect(lab.engine?.pid).toBe(await mainPid('corduroy-datapath@lab'));
    await host.run('systemctl', 'reload', 'corduroyd@lab');
    await settle();
    await host.run('corduroy', 'down', '--instance=lab');
    await settle();
    expect((await host.attempt('ls', '/run/corduroy-lab')).code).not.toBe(0);
  });

  it('is gone after corduroy down, and comes back with the next start', async () => {
    await host.run('corduroy', 'down');
    await until('the daemon has ended', async () => (await state(DAEMON)) === 'inactive');
    expect(await state(ENGINE)).toBe('inactive');
    expect((await host.attempt('ls', '/run/corduroy')).code).not.toBe(0);
    expect(await host.run('ip', '-br', 'link')).not.toMatch(/corduroy0|cbr0/);
    await host.run('systemctl', 'start', DAEMON);
    await settle();
  });
});
