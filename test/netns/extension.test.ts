import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pingMatrix } from '../../src/lab/ping-matrix.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

const NETWORK = '10.244.0.0/16';
const FORWARD = 'sysctl -qw net.ipv4.conf.eth0.forwarding=1';

/** The host-gw backend, made of commands. The last one leaves a mark that a host can have but once. */
const ROUTES = {
  Type: 'extension',
  PreStartupCommand: 'read nothing; echo "  born $$  "; echo not this >&2',
  PostStartupCommand: `${FORWARD}; ip route add blackhole 10.99.0.0/24 && echo "mine is $SUBNET of $NETWORK"`,
  SubnetAddCommand: 'read born; echo "theirs: $born"; ip route add "$SUBNET" via "$PUBLIC_IP"',
  SubnetRemoveCommand: 'ip route del "$SUBNET" via "$PUBLIC_IP"',
  ShutdownCommand: 'ip route del blackhole 10.99.0.0/24; sysctl -qw net.ipv4.conf.eth0.forwarding=0',
};

/** The vxlan backend likewise: the others have to know a hardware address that this host's command has printed. */
const VXLAN = {
  Type: 'extension',
  MTU: 1450,
  PreStartupCommand:
    'ip link del ext0 2>&-; ip link add ext0 mtu 1450 type vxlan id 7 dev eth0 dstport 4444 nolearning && ' +
    "ip -o link show ext0 | sed 's/.*ether //; s/ .*//'",
  PostStartupCommand:
    'ip address add "$(dirname $SUBNET)/32" dev ext0 && ip link set ext0 up && sysctl -qw net.ipv4.conf.ext0.forwarding=1',
  SubnetAddCommand:
    'read mac; ip=$(dirname "$SUBNET"); ip neigh replace "$ip" dev ext0 lladdr "$mac" && ' +
    'bridge fdb append "$mac" dev ext0 dst "$PUBLIC_IP" && ip route add "$SUBNET" via "$ip" dev ext0 onlink',
  SubnetRemoveCommand:
    'read mac; ip=$(dirname "$SUBNET"); ip route del "$SUBNET" dev ext0; ip neigh del "$ip" dev ext0; ' +
    'bridge fdb del "$mac" dev ext0 dst "$PUBLIC_IP"',
  ShutdownCommand: 'ip link del ext0',
};

function config(backend: object): string {
  return JSON.stringify({ Network: NETWORK, Backend: backend });
}

async function untilAllKnowAll(lab: TestLab, hosts: readonly LabHost[]): Promise<void> {
  await until('all pings are answered', async () => {
    const results = await pingMatrix(lab.lab);
    const expected = hosts.length * (hosts.length - 1);
    return results.length === expected && results.every(({ roundTrip }) => roundTrip !== undefined);
  });
}

describe.skipIf(labObstacle())(`an overlay of the operator's own commands ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let hosts: [LabHost, LabHost];
  let before: string;

  const routes = async (host: LabHost) => await lab.on(host, 'ip', '-4', 'route');
  const setConfig = async (backend: object) => {
    await lab.etcdctl('put', `${NETWORK_PREFIX}/config`, config(backend));
  };
  const count = (host: LabHost, text: string) => lab.log(host).split(text).length - 1;

  beforeAll(async () => {
    lab = await TestLab.start({ config: config(ROUTES) });
    hosts = [await lab.lab.prepareHost(1), await lab.lab.prepareHost(2)];
    before = await routes(hosts[0]);
    for (const host of hosts) {
      lab.lab.startDaemon(host);
      await lab.lab.addContainer(host, await lab.lab.untilReady(host));
    }
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('carries pings at full MTU', async () => {
    await untilAllKnowAll(lab, hosts);
    expect(readFileSync(hosts[0].subnetFile, 'utf8')).toContain('FLANNEL_MTU=1500\n');
  });

  it("tells in the lease what PreStartupCommand has printed, in flannel's form, and gives it to the others", async () => {
    const subnet = (await lab.subnet(hosts[0])).replace('/', '-');
    const value = await lab.etcdctl('get', '--print-value-only', `${NETWORK_PREFIX}/subnets/${subnet}`);
    expect(value).toMatch(
      /^{"PublicIP":"192\.0\.2\.1","PublicIPv6":null,"BackendType":"extension","BackendData":"born \d+"}$/,
    );
    const { BackendData } = JSON.parse(value);
    expect(lab.log(hosts[1])).toContain(`SubnetAddCommand for ${subnet}: theirs: ${BackendData}`);
    expect(lab.log(hosts[0])).toContain(
      `PostStartupCommand: mine is ${subnet.replace('-', '/')} of ${NETWORK}`,
    );
    expect(lab.log(hosts[0])).toContain('PreStartupCommand: not this');
  });

  it('is left alone by a daemon that restarts, but for who has gone meanwhile', async () => {
    const [h1, h2] = hosts;
    const ghost = '10.244.250.0';
    const value = { PublicIP: '192.0.2.77', PublicIPv6: null, BackendType: 'extension' };
    await lab.putLease(`${ghost}-24`, JSON.stringify(value));
    await until('the guest has a route', async () =>
      (await routes(h1)).includes(`${ghost}/24 via 192.0.2.77`),
    );
    const all = await routes(h1);
    await lab.endDaemon(h1, 'SIGKILL');
    expect(await routes(h1)).toBe(all);
    await lab.etcdctl('del', `${NETWORK_PREFIX}/subnets/${ghost}-24`);
    lab.lab.startDaemon(h1);
    await lab.lab.untilReady(h1);
    await until('its route is gone', async () => !(await routes(h1)).includes(ghost));
    expect(count(h1, 'PostStartupCommand was run')).toBe(1);
    expect(count(h1, 'PreStartupCommand was run')).toBe(1);
    expect((await lab.status(h1)).problems).toEqual([]);
    expect(await lab.pings(h1.container.namespace, '192.0.2.2')).toBe(true);
    await untilAllKnowAll(lab, [h1, h2]);
  });

  it('names a lease of another backend, and one whose data is none', async () => {
    const [h1] = hosts;
    await lab.putLease('10.244.251.0-24', '{"PublicIP":"192.0.2.78","PublicIPv6":null}');
    await lab.putLease(
      '10.244.252.0-24',
      '{"PublicIP":"192.0.2.79","PublicIPv6":null,"BackendType":"extension","BackendData":{"a":1}}',
    );
    await until('both are named', async () => {
      const { stdout } = await lab.attempt(h1, 'corduroy', 'status');
      return /251\.0-24.*BackendType/.test(stdout) && /252\.0-24.*BackendData is no JSON string/.test(stdout);
    });
    expect(await routes(h1)).not.toMatch(/10\.244\.25[12]/);
    for (const name of ['251', '252'])
      await lab.etcdctl('del', `${NETWORK_PREFIX}/subnets/10.244.${name}.0-24`);
  });

  it('says which command fails and why, and gets over it when the network config is mended', async () => {
    const [h1] = hosts;
    await setConfig({ ...ROUTES, SubnetAddCommand: 'echo "what is $SUBNET" >&2; exit 4' });
    await until('it is a problem', async () =>
      (await lab.status(h1)).problems.some((text) =>
        /^SubnetAddCommand for 10\.244\.\d+\.0-24 failed: exit code 4: what is 10\.244\.\d+\.0\/24\. Trying/.test(
          text,
        ),
      ),
    );
    await setConfig(ROUTES);
    await untilAllKnowAll(lab, hosts);
    await until('no problem is left', async () => (await lab.status(h1)).problems.length === 0);
  });

  it('is taken away by corduroy down, also when the daemon is dead', async () => {
    const [h1] = hosts;
    await lab.endDaemon(h1, 'SIGKILL');
    const { code, stdout } = await lab.attempt(h1, 'corduroy', 'down');
    expect(stdout).toMatch(/removed: what SubnetRemoveCommand for 10\.244\.\d+\.0-24 takes away\n/);
    expect(stdout).toContain('removed: what ShutdownCommand takes away\n');
    expect(code).toBe(0);
    expect(await routes(h1)).toBe(before);
    expect(await lab.on(h1, 'corduroy', 'down')).toBe('there was nothing to remove');
  });

  it('is taken away when the network gets another backend', async () => {
    const [h1, h2] = hosts;
    await lab.lab.addHost(3);
    lab.lab.startDaemon(h1);
    await lab.lab.untilReady(h1);
    await setConfig({ Type: 'udp' });
    await until('the commands are undone', async () => count(h2, 'ShutdownCommand was run') === 1, 20_000);
    expect(await routes(h2)).not.toContain('10.99.0.0');
    await until('h2 has no route by the commands', async () => !/^10\.244\.\S+ via/m.test(await routes(h2)));
  });
});

describe.skipIf(labObstacle())(`a tunnel of the operator's own commands ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let hosts: LabHost[];

  beforeAll(async () => {
    lab = await TestLab.start({ config: config(VXLAN) });
    hosts = await lab.addHosts(3);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('carries pings at the full MTU that the config names', async () => {
    await untilAllKnowAll(lab, hosts);
    expect(readFileSync(hosts[0]?.subnetFile ?? '', 'utf8')).toContain('FLANNEL_MTU=1450\n');
  });

  it('forgets a host that leaves, which keeps nothing', async () => {
    const [h1, h2] = hosts as [LabHost, LabHost];
    const subnet = await lab.subnet(h2);
    expect(await lab.on(h1, 'ip', 'route')).toContain(subnet);
    await lab.on(h2, 'corduroy', 'down', '--release');
    expect(await lab.on(h2, 'ip', '-br', 'link')).not.toContain('ext0');
    await until('its route, neighbour and FDB entry are gone', async () => {
      const texts = await Promise.all([
        lab.on(h1, 'ip', 'route'),
        lab.on(h1, 'ip', 'neigh', 'show', 'dev', 'ext0', 'nud', 'permanent'),
        lab.on(h1, 'bridge', 'fdb', 'show', 'dev', 'ext0'),
      ]);
      return !texts.some((text) => new RegExp(`${subnet.replace('/24', '')}|dst ${h2.address} `).test(text));
    });
  });
});
