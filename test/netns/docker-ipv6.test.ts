import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import type { Family } from '../../src/net/ip.ts';
import { Prefix } from '../../src/net/prefix.ts';
import { configFileOf, DockerHosts } from '../support/docker-hosts.ts';
import { dockerObstacle, type TestContainer, type TestDockerd } from '../support/dockerd.ts';
import { until } from '../support/lab.ts';
import { hasForceForwarding } from '../support/netns.ts';

const obstacle = dockerObstacle();

/** Two hosts with real dockerds, in a network of these families. */
function describeDocker(what: string, families: readonly Family[], tests: (docker: Docker) => void): void {
  describe.skipIf(obstacle)(`Docker in a network of ${what} ${obstacle ?? ''}`, () => {
    const docker = new Docker();
    beforeAll(() => docker.start(families));
    afterAll(() => docker.hosts?.remove());
    tests(docker);
  });
}

class Docker {
  hosts!: DockerHosts;

  async start(families: readonly Family[]): Promise<void> {
    this.hosts = await DockerHosts.start(2, { 'ip-masq': true }, families);
    await this.setHow('options');
  }

  get all(): readonly (readonly [LabHost, TestDockerd])[] {
    return this.hosts.hosts.map((host, index) => [host, this.hosts.dockerds[index] as TestDockerd] as const);
  }

  /** Restarts the daemons with that setting of --docker. */
  async setHow(how: string): Promise<void> {
    for (const [host] of this.all) {
      await this.hosts.lab.endDaemon(host, 'SIGTERM').catch(() => undefined);
      writeFileSync(configFileOf(host), JSON.stringify({ 'ip-masq': true, docker: how }));
      await this.hosts.startDaemon(host);
      if (hasForceForwarding())
        await this.hosts.lab.on(host, 'sysctl', '-qw', 'net.ipv6.conf.eth0.force_forwarding=1');
    }
  }

  async problems(host: LabHost): Promise<string> {
    return (await this.hosts.lab.status(host)).problems.join('\n');
  }

  /** As docker0 should have them. */
  async addresses(host: LabHost): Promise<string[]> {
    const subnets = (await this.hosts.lab.status(host)).lease?.subnets ?? [];
    return subnets.map((text) => {
      const subnet = Prefix.parse(text);
      return `${subnet.address.plus(1n)}/${subnet.length}`;
    });
  }

  /** What dockerd is started with by the drop-in. */
  async options(host: LabHost): Promise<string[]> {
    const words = ['docker', 'environment', '--dockerd', '/usr/sbin/dockerd', '-d', '-'];
    const { stdout } = await this.hosts.corduroy(host, ...words);
    return (/"(.*)"/.exec(stdout)?.[1] ?? '').split(' ').filter(Boolean);
  }

  /** At full MTU, no more, and by their own addresses. */
  async reach(one: TestContainer, other: TestContainer): Promise<void> {
    const [host] = this.hosts.hosts as [LabHost];
    const { mtu = 0 } = await this.hosts.lab.status(host);
    await until(
      `${one.address} and ${other.address} ping each other`,
      async () => (await one.pings(other, mtu)) && (await other.pings(one, mtu)),
    );
    expect(await one.pings(other, mtu + 1)).toBe(false);
    expect(await one.addressSeenBy(other)).toBe(one.address);
  }

  isWell(): Promise<unknown> {
    return until(
      'all is well',
      async () => {
        const said = await Promise.all(this.hosts.hosts.map((host) => this.problems(host)));
        return said.join('') === '';
      },
      40_000,
    );
  }
}

describeDocker('IPv4 and IPv6', [4, 6], (docker) => {
  it('starts dockerd with both subnets, and finds docker0 right', async () => {
    for (const [host, dockerd] of docker.all) {
      const [v4, v6] = await docker.addresses(host);
      const options = await docker.options(host);
      const subnet = String(v6).replace(/1\/64$/, '/64');
      expect(options).toEqual([
        `--bip=${v4}`,
        '--ip-masq=false',
        '--mtu=1472',
        '--ipv6',
        `--fixed-cidr-v6=${subnet}`,
      ]);
      await dockerd.start(...options);
    }
    await docker.isWell();
    const [[host]] = docker.all as [readonly [LabHost, TestDockerd]];
    expect(
      JSON.parse((await docker.hosts.corduroy(host, 'docker', 'status', '--json')).stdout),
    ).toMatchObject({
      wanted: { addresses: await docker.addresses(host) },
      problems: [],
    });
  });

  it('lets containers reach each other in both families', async () => {
    const [c1, c2] = (await Promise.all(
      docker.all.map(([, dockerd], index) => dockerd.container(`c${index}`)),
    )) as [TestContainer, TestContainer];
    await docker.reach(c1, c2);
    await docker.reach(c1.overIpv6(), c2.overIpv6());
  });

  it('notices when the IPv6 address is taken from docker0', async () => {
    const [[host]] = docker.all as [readonly [LabHost, TestDockerd]];
    const [v4, v6 = ''] = await docker.addresses(host);
    await docker.hosts.lab.on(host, 'ip', 'address', 'delete', v6, 'dev', 'docker0');
    const says = `docker0 has ${v4}, this host's subnets are ${v4} and ${v6}: systemctl restart docker`;
    await until('it says so', async () => (await docker.problems(host)) === says);
    await docker.hosts.lab.on(host, 'ip', 'address', 'add', v6, 'dev', 'docker0', 'nodad');
    await docker.isWell();
  });

  it('notices a dockerd that was started without IPv6', async () => {
    const [, [host, dockerd]] = docker.all as [unknown, readonly [LabHost, TestDockerd]] as [
      unknown,
      readonly [LabHost, TestDockerd],
    ];
    await dockerd.stop();
    await docker.hosts.lab.on(host, 'ip', 'link', 'delete', 'docker0');
    await dockerd.start(...(await docker.options(host)).filter((option) => !/v6/.test(option)));
    await until('it says so', async () => /this host's subnets are/.test(await docker.problems(host)));
    await dockerd.stop();
    await dockerd.start(...(await docker.options(host)));
    await docker.isWell();
  });

  it('keeps a Docker network of both', async () => {
    for (const [host, dockerd] of docker.all) {
      await dockerd.stop();
      await docker.hosts.lab.on(host, 'ip', 'link', 'delete', 'docker0');
      await dockerd.start('--bip=172.30.0.1/16');
    }
    await docker.setHow('network');
    await docker.isWell();
    const [n1, n2] = (await Promise.all(
      docker.all.map(async ([, dockerd], index) => {
        await until('there is the network', async () =>
          (await dockerd.docker('network', 'ls')).includes(' corduroy '),
        );
        return await dockerd.container(`n${index}`, '--network', 'corduroy');
      }),
    )) as [TestContainer, TestContainer];
    await docker.reach(n1, n2);
    await docker.reach(n1.overIpv6(), n2.overIpv6());
  });
});

describeDocker('IPv6 alone', [6], (docker) => {
  it('leaves docker0 the IPv4 that Docker gives it, which leads nowhere, beside the subnet', async () => {
    for (const [host, dockerd] of docker.all) {
      const options = await docker.options(host);
      expect(options.join(' ')).toMatch(/^--ip-masq=false --mtu=1452 --ipv6 --fixed-cidr-v6=fd00:\S+::\/64$/);
      await dockerd.start(...options);
    }
    await docker.isWell();
    const [c1, c2] = (await Promise.all(
      docker.all.map(([, dockerd], index) => dockerd.container(`c${index}`)),
    )) as [TestContainer, TestContainer];
    expect(c1.address).toMatch(/^172\./);
    await docker.reach(c1.overIpv6(), c2.overIpv6());
  });
});
