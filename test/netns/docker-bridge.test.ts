import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import { configFileOf, DockerHosts } from '../support/docker-hosts.ts';
import { dockerObstacle, type TestContainer, type TestDockerd } from '../support/dockerd.ts';
import { bridgeAddress, until } from '../support/lab.ts';

describe.skipIf(dockerObstacle())(`docker0 on two hosts ${dockerObstacle() ?? ''}`, () => {
  let hosts: DockerHosts;
  let h1: LabHost;
  let h2: LabHost;
  let d1: TestDockerd;
  let d2: TestDockerd;

  beforeAll(async () => {
    hosts = await DockerHosts.start(2, { 'ip-masq': true });
    [h1, h2] = hosts.hosts as [LabHost, LabHost];
    [d1, d2] = hosts.dockerds as [TestDockerd, TestDockerd];
  });
  afterAll(() => hosts?.remove());

  const problems = async (host: LabHost) => (await hosts.lab.status(host)).problems.join('\n');
  const isWell = (host: LabHost) => until('all is well', async () => (await problems(host)) === '');
  const bip = async (host: LabHost) => `${bridgeAddress(await hosts.lab.subnet(host))}/24`;
  /** What dockerd is started with by the drop-in. */
  const options = async (host: LabHost): Promise<string[]> => {
    const { stdout } = await hosts.corduroy(
      host,
      'docker',
      'environment',
      '--dockerd',
      '/usr/sbin/dockerd',
      '-d',
      '-',
    );
    return (/"(.*)"/.exec(stdout)?.[1] ?? '').split(' ').filter(Boolean);
  };
  const reach = async (one: TestContainer, other: TestContainer) => {
    const { mtu = 0 } = await hosts.lab.status(h1);
    await until(
      'they ping each other',
      async () => (await one.pings(other, mtu)) && (await other.pings(one, mtu)),
    );
    expect(await one.pings(other, mtu + 1)).toBe(false);
    expect(await one.addressSeenBy(other)).toBe(one.address);
    expect(await other.addressSeenBy(one)).toBe(other.address);
  };

  describe('--docker=options', () => {
    it('says which address docker0 should have, when dockerd was started before there was a subnet', async () => {
      await d1.start();
      for (const host of hosts.hosts) {
        writeFileSync(configFileOf(host), '{ "ip-masq": true, "docker": "options" }\n');
        await hosts.startDaemon(host);
      }
      await until('it says so', async () => (await problems(h1)) !== '');
      expect(await problems(h1)).toBe(
        `docker0 has 172.17.0.1/16, this host's subnet is ${await bip(h1)}: systemctl restart docker`,
      );
      expect(await hosts.corduroy(h1, 'docker', 'status', '--json')).toMatchObject({
        code: 1,
        stdout: expect.stringContaining('"found": "docker0 172.17.0.1/16, MTU 1500"'),
      });
      expect(await hosts.lab.status(h1)).toMatchObject({ ready: true });
    });

    it('finds nothing wrong with a host whose dockerd does not run', async () => {
      expect(await problems(h2)).not.toMatch(/docker/i);
      expect(await hosts.corduroy(h2, 'docker', 'status')).toMatchObject({ code: 0 });
    });

    it('is content once dockerd is started again with the options', async () => {
      await d1.stop();
      expect(await options(h1)).toEqual([`--bip=${await bip(h1)}`, '--ip-masq=false', '--mtu=1472']);
      await d1.start(...(await options(h1)));
      await isWell(h1);
      expect(await hosts.corduroy(h1, 'docker', 'status')).toMatchObject({ code: 0 });
    });

    it('lets containers of two hosts reach each other at full MTU by their own addresses', async () => {
      await d2.start(...(await options(h2)));
      await reach(await d1.container('c1'), await d2.container('c2'));
    });

    it('notices a wrong MTU, which only Docker tells', async () => {
      await d1.stop();
      await d1.start(...(await options(h1)).filter((option) => !option.startsWith('--mtu')));
      await until(
        'it says so',
        async () => /an MTU of 1500, the overlay's is 1472/.test(await problems(h1)),
        40_000,
      );
      await d1.stop();
      await d1.start(...(await options(h1)));
      await isWell(h1);
    });

    it('notices at once when somebody takes the address away', async () => {
      const address = await bip(h1);
      await hosts.lab.on(h1, 'ip', 'address', 'delete', address, 'dev', 'docker0');
      const took = await until('it says so', async () => /docker0 has no address/.test(await problems(h1)));
      expect(took).toBeLessThan(5000);
      await hosts.lab.on(h1, 'ip', 'address', 'add', address, 'dev', 'docker0');
      await isWell(h1);
    });

    it('says that docker0 does not forward, and what is said mends it', async () => {
      await hosts.lab.on(h1, 'sysctl', '-qw', 'net.ipv4.conf.docker0.forwarding=0');
      await until('it says so', async () => /forwarding is off on docker0/.test(await problems(h1)), 40_000);
      await hosts.lab.on(h1, 'sysctl', '-qw', 'net.ipv4.conf.docker0.forwarding=1');
      await until('all is well', async () => (await problems(h1)) === '', 40_000);
    });

    it('goes on when dockerd, or the daemon, is restarted', async () => {
      await hosts.lab.endDaemon(h1, 'SIGTERM');
      await hosts.startDaemon(h1);
      await d2.stop();
      await d2.start(...(await options(h2)));
      await d1.docker('start', 'c1');
      await d2.docker('start', 'c2');
      await reach(await d1.running('c1'), await d2.running('c2'));
      await isWell(h2);
    });

    it('keeps out of the way what the configuration file of dockerd sets, so that it starts', async () => {
      writeFileSync(d2.configFile, '{ "mtu": 1400 }\n');
      expect(await options(h2)).toEqual([`--bip=${await bip(h2)}`, '--ip-masq=false']);
      await d2.stop();
      await d2.start(...(await options(h2)));
      await until('it says so', async () => /an MTU of 1400/.test(await problems(h2)), 40_000);
      writeFileSync(d2.configFile, '{}\n');
    });
  });

  describe('--docker=daemon-json', () => {
    const ours = async (host: LabHost) => ({ bip: await bip(host), mtu: 1472, 'ip-masq': false });
    /** A configuration management leads there, and shares the file with a group. */
    const isLedThere = ({ configFile }: TestDockerd) => {
      const { mode, uid, gid } = statSync(configFile);
      expect([lstatSync(configFile).isSymbolicLink(), mode & 0o777, uid, gid]).toEqual([
        true,
        0o640,
        65534,
        65533,
      ]);
    };
    const configure = (host: LabHost, ...flags: string[]) =>
      hosts.corduroy(host, 'docker', 'configure', '--how', 'daemon-json', ...flags);
    const before = '{\n    "debug": true,\n    "bip": "192.0.2.65/26"\n}\n';

    it('only shows, with --dry-run, and does nothing that nobody has agreed to', async () => {
      await d1.stop();
      await d2.stop();
      for (const { configFile } of [d1, d2]) {
        const kept = `${configFile}.kept`;
        writeFileSync(kept, before);
        chmodSync(kept, 0o640);
        chownSync(kept, 65534, 65533);
        rmSync(configFile, { force: true });
        symlinkSync(kept, configFile);
      }
      const { code, stdout } = await configure(h1, '--dry-run');
      expect([code, stdout]).toEqual([
        0,
        [
          d1.configFile,
          '  - "bip": "192.0.2.65/26"',
          `  + "bip": "${await bip(h1)}"`,
          '  + "mtu": 1472',
          '  + "ip-masq": false',
          configFileOf(h1),
          '  - "docker": "options"',
          '  + "docker": "daemon-json"',
          '',
        ].join('\n'),
      ]);
      expect(await configure(h1)).toMatchObject({ code: 2, stderr: expect.stringContaining('add --yes') });
      expect(readFileSync(d1.configFile, 'utf8')).toBe(before);
    });

    it('is refused where the daemon has a bridge for the subnet, which only its command line tells', async () => {
      await hosts.lab.endDaemon(h2, 'SIGTERM');
      const settings = readFileSync(configFileOf(h2), 'utf8');
      writeFileSync(configFileOf(h2), '{ "ip-masq": true }\n');
      await hosts.startDaemon(h2, '--bridge=cbr0');
      const { code, stderr } = await configure(h2, '--yes');
      expect([code, stderr]).toEqual([2, expect.stringContaining("--bridge cbr0 has this host's subnet")]);
      await hosts.lab.endDaemon(h2, 'SIGTERM');
      await hosts.lab.on(h2, 'ip', 'link', 'delete', 'cbr0');
      writeFileSync(configFileOf(h2), settings);
      await hosts.startDaemon(h2);
    });

    it('sets three keys, keeps the others, and a second run changes nothing', async () => {
      for (const [host, dockerd] of [
        [h1, d1],
        [h2, d2],
      ] as const) {
        const { configFile } = dockerd;
        const { stdout } = await configure(host, '--yes');
        expect(stdout).toContain('corduroyd has taken it up');
        await hosts.lab.lab.untilReady(host);
        expect(JSON.parse(readFileSync(configFile, 'utf8'))).toEqual({ debug: true, ...(await ours(host)) });
        expect(readFileSync(`${configFile}.before-corduroy`, 'utf8')).toBe(before);
        isLedThere(dockerd);
      }
      const again = await configure(h1, '--yes', '--json');
      expect(JSON.parse(again.stdout)).toMatchObject({
        changed: false,
        reloaded: true,
        restartNeeded: false,
      });
    });

    it('lets containers reach each other once dockerd is started', async () => {
      for (const dockerd of [d1, d2]) await dockerd.start();
      await d1.docker('start', 'c1');
      await d2.docker('start', 'c2');
      await reach(await d1.running('c1'), await d2.running('c2'));
      for (const host of hosts.hosts) await isWell(host);
    });

    it('is rewritten by the daemon when it does not say what the lease says', async () => {
      const text = readFileSync(d1.configFile, 'utf8');
      writeFileSync(d1.configFile, text.replace(/"bip": "[^"]*"/, '"bip": "192.0.2.129/26"'));
      await hosts.lab.endDaemon(h1, 'SIGTERM');
      await hosts.startDaemon(h1);
      await until('it is as it was', () => readFileSync(d1.configFile, 'utf8') === text);
      isLedThere(d1);
    });

    it('is taken back by unconfigure, to the byte', async () => {
      const { code } = await hosts.corduroy(h1, 'docker', 'unconfigure', '--yes');
      expect(code).toBe(0);
      expect(readFileSync(d1.configFile, 'utf8')).toBe(before);
      expect(existsSync(`${d1.configFile}.before-corduroy`)).toBe(false);
      expect(existsSync(join(h1.stateDir, 'docker-configured.json'))).toBe(false);
      expect(JSON.parse(readFileSync(configFileOf(h1), 'utf8'))).toEqual({
        'ip-masq': true,
        docker: 'options',
      });
      const again = await hosts.corduroy(h1, 'docker', 'unconfigure', '--yes');
      expect(again).toMatchObject({ code: 0, stdout: 'the files are as they should be\n' });
    });
  });

  it('has no options for dockerd of a subnet that was given back', async () => {
    const file = join(h1.runDir, 'docker.env');
    writeFileSync(d1.configFile, '{}\n');
    const environment = () => hosts.corduroy(h1, 'docker', 'environment', '--dockerd', '/usr/sbin/dockerd');
    expect(await environment()).toMatchObject({ code: 0 });
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('--bip=');
    expect(await hosts.corduroy(h1, 'down', '--release')).toMatchObject({ code: 0 });
    expect(existsSync(file)).toBe(false);
    // As a start meanwhile may have left it.
    mkdirSync(h1.runDir, { recursive: true });
    writeFileSync(file, text);
    expect(await environment()).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no subnet'),
    });
    expect(existsSync(file)).toBe(false);
  });
});
