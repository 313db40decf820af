import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/lab.ts';
import { NetNamespace } from '../support/netns.ts';
import { hostObstacle, NspawnHost } from '../support/nspawn.ts';
import { Container, loadBusybox } from '../support/nspawn-docker.ts';
import { Lan } from '../support/nspawn-lan.ts';
import { builtDeb, debObstacle } from '../support/nspawn-package.ts';

const EXAMPLE = 'examples/vagrant';
const obstacle = hostObstacle() ?? debObstacle();

describe('examples/vagrant/Vagrantfile', () => {
  it('is Ruby', ({ skip }) => {
    if (spawnSync('ruby', ['--version']).error !== undefined) return skip('needs ruby');
    const { status, stderr } = spawnSync('ruby', ['-c', join(EXAMPLE, 'Vagrantfile')], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
  });

  it('names scripts that are there, and can be run', () => {
    const scripts = [...readFileSync(join(EXAMPLE, 'Vagrantfile'), 'utf8').matchAll(/path: "([^"]+)"/g)];
    expect(scripts).toHaveLength(4);
    for (const [, script = ''] of scripts) expect(statSync(join(EXAMPLE, script)).mode & 0o111).toBe(0o111);
  });
});

/** The provisioning scripts, on hosts with the network that Vagrant gives machines under VirtualBox. */
describe.skipIf(obstacle)(`examples/vagrant, its scripts ${obstacle ?? ''}`, () => {
  let lan: Lan;
  const networks: NetNamespace[] = [];
  const hosts: NspawnHost[] = [];

  const machine = async (name: string, address: string): Promise<NspawnHost> => {
    const host = await NspawnHost.start(name, lan, `192.0.2.${hosts.length + 11}`);
    hosts.push(host);
    await behindNat(host, address);
    for (const script of ['install.sh', 'first.sh', 'next.sh', 'docker.sh'])
      await host.copyIn(join(EXAMPLE, script), '/tmp');
    await host.copyIn(builtDeb(), '/tmp');
    await host.sh('mv /tmp/corduroy_*.deb /tmp/corduroy.deb; mkdir -m 700 /srv/tokens');
    return host;
  };

  /** eth0 leads to a NAT of the machine's own and has the address all machines have; eth1 is the private network. */
  const behindNat = async (host: NspawnHost, address: string): Promise<void> => {
    const nat = await NetNamespace.create();
    networks.push(nat);
    await host.namespace.script(`
      ip link set eth0 down
      ip link set eth0 name eth1
      ip address flush dev eth1
      ip address add ${address}/24 dev eth1
      ip link set eth1 up
      ip link add eth0 type veth peer name gateway netns ${nat.name}
      ip address add 10.0.2.15/24 dev eth0
      ip link set eth0 up`);
    await nat.script('ip address add 10.0.2.2/24 dev gateway\nip link set gateway up');
    await host.namespace.script('ip route add default via 10.0.2.2');
  };

  beforeAll(async () => {
    lan = await Lan.create();
    await machine('node1', '192.168.56.11');
    await machine('node2', '192.168.56.12');
  });
  afterAll(async () => {
    for (const host of hosts) await host.remove();
    for (const network of networks) await network.remove();
    await lan?.remove();
  });

  it('make a network of two machines, and Docker on it', async () => {
    const [node1, node2] = hosts as [NspawnHost, NspawnHost];
    for (const host of hosts) await host.run('/tmp/install.sh', '/tmp/corduroy.deb');
    // It waits: Vagrant may bring up machines at the same time.
    const joined = node2.attempt('/tmp/next.sh');
    const first = await node1.attempt('/tmp/first.sh', 'node2');
    expect(first.code, first.stderr + (await node1.journal())).toBe(0);
    expect(first.stdout + first.stderr).not.toContain('cdy1.');
    expect(await node1.run('stat', '-c', '%a', '/srv/tokens/node2')).toBe('600');
    // What the shared folder does.
    await node2.write('/srv/tokens/node2', node1.read('/srv/tokens/node2'), 0o600);
    const next = await joined;
    expect(next.code, next.stderr + (await node2.journal())).toBe(0);
    expect(existsSync(node2.path('/srv/tokens/node2'))).toBe(false);
    for (const host of hosts) await host.run('/tmp/docker.sh');
    await node1.run('corduroy', 'wait', '--peers', '1');
    expect(await node1.run('corduroy', 'status')).toContain('192.168.56.12');
  });

  it('let containers of both reach each other by their own addresses', async () => {
    for (const host of hosts) await loadBusybox(host);
    const [one, other] = await Promise.all(hosts.map((host) => Container.start(host, 'web')));
    if (one === undefined || other === undefined) throw new Error('there are not two hosts');
    await until('a ping is answered', async () => await one.reaches(await other.address()));
    await one
      .run('wget', '-q', '-O', '/dev/null', `http://${await other.address()}/passwd`)
      .catch(() => undefined);
    expect(await other.log()).toContain(await one.address());
  });

  it('can be run again', async () => {
    const [node1, node2] = hosts as [NspawnHost, NspawnHost];
    const leases = await node1.run('corduroy', 'leases', 'list');
    for (const host of hosts) await host.run('/tmp/install.sh', '/tmp/corduroy.deb');
    await node1.run('/tmp/first.sh', 'node2');
    await node2.run('/tmp/next.sh');
    for (const host of hosts) await host.run('/tmp/docker.sh');
    await node1.run('corduroy', 'wait', '--peers', '1');
    const subnets = (text: string) => text.match(/10\.244\.\d+\.0\/24/g)?.sort();
    expect(subnets(await node1.run('corduroy', 'leases', 'list'))).toEqual(subnets(leases));
  });
});
