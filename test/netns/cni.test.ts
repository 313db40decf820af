import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startInNamespace } from '../../src/lab/processes.ts';
import { type LabHost, labFolder } from '../../src/lab/topology.ts';
import { Prefix } from '../../src/net/prefix.ts';
import { CniRuntime, cniObstacle, type PortMapping } from '../support/cni.ts';
import { bridgeAddress, labObstacle, TestLab, until } from '../support/lab.ts';

const BRIDGE = 'corduroy-cni';
const PORT: PortMapping = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
const obstacle = labObstacle() ?? cniObstacle();

/** Says who connects to it, and ends. */
const SERVER = `require('net').createServer((socket) => socket.end(socket.remoteAddress))
  .listen(80, '0.0.0.0', () => console.log('up'));`;
/** Prints what a server says. */
const CLIENT = `require('net').connect(Number(process.argv[2]), process.argv[1]).setTimeout(3000, () => process.exit(1))
  .on('error', () => process.exit(1)).pipe(process.stdout);`;

/** A lab host whose containers come by CNI: a daemon without a bridge, settings in a file of its own. */
interface CniHost extends LabHost {
  readonly settings: string;
  readonly conflist: string;
  readonly runtime: CniRuntime;
}

describe.skipIf(obstacle)(`containers connected by CNI's plugins ${obstacle ?? ''}`, () => {
  let lab: TestLab;
  let h1: CniHost;
  let h2: CniHost;
  let pods = 0;

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1, h2] = (await Promise.all([prepare(1), prepare(2)])) as [CniHost, CniHost];
    for (const host of [h1, h2]) start(host);
    for (const host of [h1, h2]) await lab.lab.untilReady(host);
    await until('both know each other', async () => {
      const documents = await Promise.all([h1, h2].map((host) => lab.status(host)));
      return documents.every(({ peers }) => peers.length === 1);
    });
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const prepare = async (index: number): Promise<CniHost> => {
    const host = await lab.lab.prepareHost(index);
    const folder = join(labFolder(lab.lab.spec.name), host.name);
    const [settings, conflist] = [
      join(folder, 'corduroyd.json'),
      join(folder, 'net.d', '10-corduroy.conflist'),
    ];
    const root = join(folder, 'cni');
    mkdirSync(root);
    writeFileSync(settings, '{"iptables-resync": 5}');
    return {
      ...host,
      settings,
      conflist,
      runtime: new CniRuntime(host.namespace, conflist, root),
    };
  };
  const start = (host: CniHost) => {
    const program = join(labFolder(lab.lab.spec.name), 'bin', 'corduroyd');
    const command = [program, '--config-file', host.settings];
    startInNamespace(host.namespace, command, host.logFile, lab.lab.environment(host));
  };
  /** A namespace that ends with the lab. */
  const newPod = async (): Promise<string> => {
    const name = `cdy-${lab.lab.spec.name}-c${100 + ++pods}`;
    await lab.on(h1.namespace, 'ip', 'netns', 'add', name);
    await lab.on(name, 'ip', 'link', 'set', 'lo', 'up');
    return name;
  };
  const cni = (host: CniHost, ...args: string[]) =>
    lab.attempt(host, 'corduroy', 'cni', ...args, '--config-file', host.settings);
  const install = (host: CniHost, ...args: string[]) =>
    cni(host, 'install', '--cni-conflist', host.conflist, ...args);
  const settings = (host: CniHost) => JSON.parse(readFileSync(host.settings, 'utf8'));
  /** The range that the next container gets an address of. */
  const range = (host: CniHost): string =>
    JSON.parse(readFileSync(host.conflist, 'utf8')).plugins[0].ipam.ranges[0][0].subnet;
  const problems = async (host: CniHost) => (await lab.status(host)).problems.join('\n');
  /** Runs with a server in a pod that says who connects to it. */
  const whileServing = async (pod: string, work: () => Promise<void>) => {
    const server = lab.spawn(pod, process.execPath, '-e', SERVER);
    try {
      await new Promise((resolve) => server.stdout?.once('data', resolve));
      await work();
    } finally {
      server.kill();
    }
  };
  const whoIsSeen = (from: string, address: string, port: number) =>
    lab.on(from, process.execPath, '-e', CLIENT, address, String(port));

  it('corduroy cni install --dry-run changes nothing', async () => {
    const { code, stdout } = await install(h1, '--dry-run');
    expect([code, stdout]).toEqual([
      0,
      expect.stringContaining(`would write ${h1.conflist}: network corduroy`),
    ]);
    expect(stdout).toContain(await lab.subnet(h1));
    expect(existsSync(h1.conflist)).toBe(false);
    expect(settings(h1)).toEqual({ 'iptables-resync': 5 });
  });

  it('corduroy cni install refuses a bridge that serves something else', async () => {
    await lab.on(h1, 'ip', 'link', 'add', 'vmbr0', 'type', 'bridge');
    await lab.on(h1, 'ip', 'address', 'add', '192.168.77.5/24', 'dev', 'vmbr0');
    const { code, stderr } = await install(h1, '--cni-bridge', 'vmbr0');
    await lab.on(h1, 'ip', 'link', 'delete', 'vmbr0');
    expect(code).toBe(1);
    expect(stderr).toMatch(/vmbr0 has 192\.168\.77\.5\/24, .*corduroy cni install --cni-bridge NAME/);
    expect(existsSync(h1.conflist)).toBe(false);
    expect(settings(h1)).toEqual({ 'iptables-resync': 5 });
  });

  it('corduroy cni install writes the conflist of the lease, and into the settings that it is wanted', async () => {
    for (const host of [h1, h2]) {
      const { code, stdout, stderr } = await install(host);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toContain(`wrote ${host.conflist}: network corduroy, bridge ${BRIDGE}, `);
      const { lease } = await lab.lab.untilReady(host);
      expect(range(host)).toBe(lease?.subnets[0]);
      expect(settings(host)).toEqual({ 'iptables-resync': 5, 'cni-conflist': host.conflist });
    }
    const again = await install(h1, '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({
      schema: 1,
      file: h1.conflist,
      mtu: 1472,
      changed: false,
      notes: [],
    });
    expect((await lab.status(h1)).problems).toEqual([]);
  });

  it('containers of two hosts reach each other at full MTU, and see their own addresses', async () => {
    const [one, other] = [await newPod(), await newPod()];
    const [from, to] = [await h1.runtime.add(one), await h2.runtime.add(other)];
    expect(Prefix.parse(await lab.subnet(h1)).toString()).toBe(`${from.replace(/\.\d+$/, '.0')}/24`);
    expect(await lab.on(one, 'ip', 'link', 'show', 'eth0')).toContain(' mtu 1472 ');
    // 1472 with the headers of IP and ICMP.
    await lab.on(one, 'ping', '-n', '-c', '2', '-W', '2', '-M', 'do', '-s', '1444', to);
    await lab.on(other, 'ping', '-n', '-c', '2', '-W', '2', '-M', 'do', '-s', '1444', from);
    await whileServing(other, async () => expect(await whoIsSeen(one, to, 80)).toBe(from));
    await h1.runtime.check(one);
    await h1.runtime.del(one);
    await h2.runtime.del(other);
  });

  it('a published port is reached from another host, and by the container itself', async () => {
    const pod = await newPod();
    const address = await h1.runtime.add(pod, [PORT]);
    await whileServing(pod, async () => {
      expect(await whoIsSeen(h2.namespace, h1.address, PORT.hostPort)).toBe(h2.address);
      expect(await whoIsSeen(pod, h1.address, PORT.hostPort)).toBe(bridgeAddress(await lab.subnet(h1)));
    });
    expect(await lab.on(h1, 'iptables-save', '-t', 'nat')).toContain(`--to-destination ${address}:80`);
    await h1.runtime.del(pod);
  });

  it('a container that ends leaves nothing behind', async () => {
    const trace = async () => ({
      links: (await lab.on(h1, 'ip', '-br', 'link')).replaceAll(/ +.*$/gm, ''),
      rules: (await lab.on(h1, 'iptables-save', '-t', 'nat'))
        .split('\n')
        .filter((line) => line.startsWith('-A'))
        .join('\n'),
      given: h1.runtime.given(),
    });
    const before = await trace();
    const pod = await newPod();
    await h1.runtime.add(pod, [PORT]);
    const during = await trace();
    for (const part of ['links', 'rules', 'given'] as const)
      expect(during[part], part).not.toEqual(before[part]);
    await h1.runtime.del(pod);
    expect(await trace()).toEqual(before);
    expect(await lab.on(pod, 'ip', '-br', 'link')).not.toContain('eth0');
  });

  it('a host that loses power has the addresses of its containers again', async () => {
    const pod = await newPod();
    await h1.runtime.add(pod);
    expect(h1.runtime.given()).toHaveLength(1);
    await lab.on(h1.namespace, 'ip', 'netns', 'delete', pod);
    h1.runtime.losePower();

    const next = await newPod();
    const address = await h1.runtime.add(next);
    expect(h1.runtime.given()).toEqual([address]);
    await h1.runtime.del(next);
  });

  it('the conflist follows a lease that is lost to another; the bridge from before is reported till it is gone', async () => {
    const pod = await newPod();
    await h1.runtime.add(pod);
    const before = await lab.subnet(h1);
    await lab.putLease(before.replace('/', '-'), '{"PublicIP":"192.0.2.99","PublicIPv6":null}');
    await until('h1 has another subnet', async () => (await lab.subnet(h1)) !== before);
    const subnet = await lab.subnet(h1);
    await until('the conflist has it', () => range(h1) === subnet);
    const stale = `the bridge ${BRIDGE} has ${bridgeAddress(before)}/24 from before, and this host's subnet is ${subnet}`;
    await until('the bridge is reported', async () => (await problems(h1)).includes(stale));
    expect(await problems(h1)).toContain(`ip link delete ${BRIDGE}`);

    // As reported: the plugin refuses. What it has done by then, DEL takes back.
    const next = await newPod();
    await expect(h1.runtime.add(next)).rejects.toThrow(/different/);
    await h1.runtime.del(pod);
    await lab.on(next, 'sh', '-c', '! ip link show eth0 2>/dev/null || ip link delete eth0');

    await lab.on(h1, 'ip', 'link', 'delete', BRIDGE);
    await until('nothing is reported any more', async () => !(await problems(h1)).includes(BRIDGE));
    const [one, other] = [await newPod(), await newPod()];
    const [, to] = [await h1.runtime.add(one), await h2.runtime.add(other)];
    await until('containers reach each other', () => lab.pings(one, to));
    await h1.runtime.del(one);
    await h2.runtime.del(other);
  });

  it('a conflist that somebody has changed stays as it is, and the health lines say how to go on', async () => {
    const edited = readFileSync(h2.conflist, 'utf8').replace('"hairpinMode": true', '"hairpinMode": false');
    writeFileSync(h2.conflist, edited);
    const { pid } = await lab.status(h2);
    process.kill(pid, 'SIGTERM');
    await until('the daemon is gone', async () => (await lab.attempt(h2, 'corduroy', 'status')).code === 3);
    start(h2);
    await lab.lab.untilReady(h2);
    await until('it is reported', async () => (await problems(h2)).includes('was changed since'));
    expect(readFileSync(h2.conflist, 'utf8')).toBe(edited);
    expect((await install(h2)).code).toBe(1);

    const { code, stdout } = await install(h2, '--force');
    expect([code, stdout]).toEqual([0, expect.stringContaining(`is kept as ${h2.conflist}.old`)]);
    expect(readFileSync(`${h2.conflist}.old`, 'utf8')).toBe(edited);
    await until('all is well', async () => (await problems(h2)) === '');
  });

  it('corduroy cni remove takes it back, and a running daemon does not bring it again', async () => {
    const { code, stdout } = await cni(h2, 'remove');
    expect([code, stdout]).toEqual([0, expect.stringContaining(`removed: ${h2.conflist}`)]);
    expect(stdout).toContain(`ip link delete ${BRIDGE}`);
    expect(settings(h2)).toEqual({ 'iptables-resync': 5 });
    await lab.restartDaemon(h2, '--config-file', h2.settings);
    expect(existsSync(h2.conflist)).toBe(false);
    expect((await cni(h2, 'remove')).stdout).toContain('there was nothing to remove');
  });

  it('on a host with a bridge of --bridge, containers come to that', async () => {
    // The daemon was started with one by the last test.
    await lab.on(h2, 'ip', 'link', 'delete', BRIDGE);
    const { code, stdout } = await install(h2);
    expect([code, stdout]).toEqual([0, expect.stringContaining('bridge cbr0')]);
    const [one, other] = [await newPod(), await newPod()];
    const [, to] = [await h1.runtime.add(one), await h2.runtime.add(other)];
    await until('containers reach each other', () => lab.pings(one, to));
    expect(await lab.on(h2, 'ip', '-br', 'link', 'show', 'master', 'cbr0')).toContain('veth');
    await h1.runtime.del(one);
    await h2.runtime.del(other);
  });

  it('corduroy down takes the conflist along', async () => {
    const { code, stdout } = await lab.attempt(h1, 'corduroy', 'down', '--config-file', h1.settings);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`removed: ${h1.conflist}`)]);
    expect(existsSync(h1.conflist)).toBe(false);
  });
});
