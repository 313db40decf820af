import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { HostState, IpipLink, RouteState, VxlanLink } from '../../src/host/state.ts';
import { Ip } from '../../src/net/ip.ts';
import { Prefix } from '../../src/net/prefix.ts';
import { canUseNamespaces, NetNamespace } from '../support/netns.ts';

const AGENT = fileURLToPath(new URL('../support/reconcile-agent.mjs', import.meta.url));
const OWN = {
  mark: 'corduroy',
  names: ['corduroy0'],
  protocol: 67,
  networks: ['10.5.0.0/16', 'fd00:5::/48'],
};
const NEEDED = ['ip', 'bridge', 'ethtool'] as const;

interface Outcome {
  readonly changes?: readonly string[];
  readonly code?: string;
  readonly message?: string;
}

const peers = [2, 3, 4];

const VXLAN: VxlanLink = {
  kind: 'vxlan',
  name: 'corduroy.1',
  mtu: 1450,
  addresses: [{ ip: Ip.parse('10.5.1.0'), length: 32 }],
  mac: '02:11:11:11:11:04',
  vni: 1,
  port: 8472,
  local: Ip.parse('192.0.2.1'),
  device: 'eth0',
  learning: false,
  gbp: false,
  remotes: peers.map((n) => ({
    ip: Ip.parse(`10.5.${n}.0`),
    mac: `02:aa:00:00:04:0${n}`,
    destination: Ip.parse(`192.0.2.${n}`),
  })),
};
const VXLAN6: VxlanLink = {
  ...VXLAN,
  name: 'corduroy6.1',
  mtu: 1430,
  addresses: [{ ip: Ip.parse('fd00:5:0:1::'), length: 128 }],
  mac: '02:11:11:11:11:06',
  local: Ip.parse('2001:db8::1'),
  gbp: true,
  learning: true,
  remotes: peers.map((n) => ({
    ip: Ip.parse(`fd00:5:0:${n}::`),
    mac: `02:aa:00:00:06:0${n}`,
    destination: Ip.parse(`2001:db8::${n}`),
  })),
};

const unicast = (prefix: string, device: string, gateway: string, onlink: boolean): RouteState => ({
  type: 'unicast',
  prefix: Prefix.parse(prefix),
  device,
  gateway: Ip.parse(gateway),
  ...(onlink && { onlink: true }),
});
const BY_VXLAN: HostState = {
  links: [VXLAN, VXLAN6],
  routes: peers.flatMap((n) => [
    unicast(`10.5.${n}.0/24`, 'corduroy.1', `10.5.${n}.0`, true),
    unicast(`fd00:5:0:${n}::/64`, 'corduroy6.1', `fd00:5:0:${n}::`, true),
  ]),
  sysctls: [
    { path: 'net/ipv6/conf/corduroy6.1/disable_ipv6', value: '0' },
    { path: 'net/ipv4/conf/corduroy.1/rp_filter', value: '2' },
    { path: 'net/ipv4/conf/corduroy.1/rp_filter', value: '0' },
  ],
};
const BY_GATEWAY: HostState = {
  links: [],
  routes: peers.flatMap((n) => [
    unicast(`10.5.${n}.0/24`, 'eth0', `192.0.2.${n}`, false),
    unicast(`fd00:5:0:${n}::/64`, 'eth0', `2001:db8::${n}`, false),
  ]),
  sysctls: [],
};

const probe = canUseNamespaces();
const missing = NEEDED.find((tool) => spawnSync(tool, ['--version']).error !== undefined);
const obstacle = !probe.ok ? probe.reason : missing && `needs ${missing}`;

let host: NetNamespace;

async function createHost(): Promise<void> {
  host = await NetNamespace.create();
  await host.script(`
    ip link add eth0 type veth peer name eth1
    ip address add 192.0.2.1/24 dev eth0
    ip address add 2001:db8::1/64 dev eth0 nodad
    ip link set eth0 up
    ip link set eth1 up`);
}

/** As the daemon does it. @param wanted `null`: as `corduroy down` does @param path where tools are looked for */
function attempt(wanted: HostState | null, path = process.env.PATH): Outcome {
  const [program, args] = host.command('env', [`PATH=${path}`, process.execPath, AGENT]);
  const { stdout, stderr } = spawnSync(program, args, {
    input: JSON.stringify({ wanted, own: OWN }),
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Outcome;
}

function bring(wanted: HostState | null): readonly string[] {
  const { changes, message } = attempt(wanted);
  if (changes === undefined) throw new Error(message);
  return changes;
}

/** What the kernel has, without what counts or ages. */
async function held(): Promise<string> {
  const script = `
    ip -d address show type vxlan
    ip route show proto 67
    ip -6 route show proto 67
    ip neigh show nud permanent
    bridge fdb show dev corduroy.1
    bridge fdb show dev corduroy6.1
    true`;
  return (await host.run('sh', '-c', script))
    .split('\n')
    .map((line) => line.trim().replace(/^\d+: /, ''))
    .filter((line) => line !== '' && !line.includes('scope link') && !line.startsWith('valid_lft'))
    .sort()
    .join('\n');
}

describe.skipIf(obstacle)(`what somebody changes by hand ${obstacle ? `(${obstacle})` : ''}`, () => {
  let right: string;

  beforeAll(async () => {
    await createHost();
    bring(BY_VXLAN);
    right = await held();
  });
  afterAll(async () => {
    await host?.remove();
  });

  test('two families of VXLAN are all there, and looking again changes nothing', async () => {
    expect(bring(BY_VXLAN)).toEqual([]);
    for (const part of [
      /vxlan id 1 local 192\.0\.2\.1 dev eth0 .*dstport 8472 nolearning/,
      /vxlan id 1 local 2001:db8::1 dev eth0 .*dstport 8472 .*gbp/,
      /^10\.5\.2\.0\/24 via 10\.5\.2\.0 dev corduroy\.1 onlink/m,
      /^fd00:5:0:2::\/64 via fd00:5:0:2:: dev corduroy6\.1 .*onlink/m,
      /^10\.5\.2\.0 dev corduroy\.1 lladdr 02:aa:00:00:04:02 PERMANENT/m,
      /^02:aa:00:00:06:02 dst 2001:db8::2 self permanent/m,
      /alias corduroy/,
    ])
      expect(right).toMatch(part);
    expect(await host.run('sysctl', '-n', 'net.ipv4.conf.corduroy/1.rp_filter')).toBe('2\n');
  });

  test.each<[string, string, RegExp]>([
    [
      'a neighbour',
      'ip neigh del 10.5.2.0 dev corduroy.1',
      /^neighbour replace 10\.5\.2\.0 \S+ \S+ \S+ \S+ nud permanent$/,
    ],
    [
      'an FDB entry that leads elsewhere',
      'bridge fdb replace 02:aa:00:00:06:03 dev corduroy6.1 dst 2001:db8::99 self permanent',
      /^fdb replace 02:aa:00:00:06:03 dev corduroy6\.1 dst 2001:db8::3 self permanent$/,
    ],
    [
      'a neighbour too many',
      'ip neigh add 10.5.9.0 lladdr 02:aa:00:00:04:09 dev corduroy.1 nud permanent',
      /^neighbour delete 10\.5\.9\.0 dev corduroy\.1$/,
    ],
    [
      'FDB entries too many',
      'bridge fdb append 00:00:00:00:00:00 dev corduroy.1 dst 192.0.2.9 self permanent',
      /^fdb delete 00:00:00:00:00:00 dev corduroy\.1 dst 192\.0\.2\.9 self$/,
    ],
    [
      'a route',
      'ip route del 10.5.3.0/24',
      /^route add 10\.5\.3\.0\/24 via 10\.5\.3\.0 dev corduroy\.1 onlink proto 67$/,
    ],
    [
      'a route that leads elsewhere',
      'ip route replace 10.5.3.0/24 via 192.0.2.99 proto 67',
      /^route replace 10\.5\.3\.0\/24 via 10\.5\.3\.0 dev corduroy\.1 onlink proto 67$/,
    ],
    [
      'another way of a route',
      'ip route append fd00:5:0:3::/64 via 2001:db8::99 proto 67',
      /^route delete fd00:5:0:3::\/64 via 2001:db8::99 dev eth0 proto 67$/,
    ],
    [
      'a device that is gone',
      'ip link del corduroy.1',
      /^link add name corduroy\.1 .*; route add 10\.5\.4\.0/,
    ],
    [
      'a device that is down',
      'ip link set corduroy6.1 down',
      /link set dev corduroy6\.1 up; .*; route add fd00:5:0:4::/,
    ],
    [
      'its hardware address',
      'ip link set corduroy.1 address 02:00:00:00:00:99',
      /^link set dev corduroy\.1 address .*; neighbour/,
    ],
    [
      'IPv6 that is switched off',
      'sysctl -w net/ipv6/conf/corduroy6.1/disable_ipv6=1',
      /sysctl net\/ipv6\/conf\/corduroy6\.1\/disable_ipv6=0; .*; address add fd00:5:0:1::\/128/,
    ],
  ])('is mended: %s', async (_what, command, expected) => {
    await host.script(command);
    expect(await held()).not.toEqual(right);
    expect(bring(BY_VXLAN).join('; ')).toMatch(expected);
    expect(await held()).toEqual(right);
  });
});

describe.skipIf(obstacle)(`devices and routes in the kernel ${obstacle ? `(${obstacle})` : ''}`, () => {
  beforeEach(createHost);
  afterEach(async () => {
    await host?.remove();
  });

  test('another port: the devices are made anew, and know all they did', async () => {
    bring(BY_VXLAN);
    const right = await held();
    bring({
      ...BY_VXLAN,
      links: [
        { ...VXLAN, port: 4789 },
        { ...VXLAN6, port: 4789 },
      ],
    });
    expect(await held()).toEqual(right.replaceAll('dstport 8472', 'dstport 4789'));
  });

  test('from one backend to another and back, no route to a peer is ever missing', async () => {
    bring(BY_VXLAN);
    const monitor = host.spawn('ip', ['-o', 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'ignore'] });
    let heard = '';
    monitor.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      heard += chunk;
    });
    const told = async (destination: string) => {
      for (let tries = 0; !heard.includes(destination) && tries < 100; tries++)
        await new Promise((resolve) => setTimeout(resolve, 20));
    };
    await host.script('ip route add 198.51.100.1 dev eth0');
    await told('198.51.100.1');
    bring(BY_GATEWAY);
    bring(BY_VXLAN);
    await host.script('ip route add 198.51.100.2 dev eth0');
    await told('198.51.100.2');
    const lines = heard.split('\n').filter((line) => line.includes(' proto 67 '));
    expect(lines.filter((line) => /^Deleted \S+\/\d/.test(line))).toEqual([]);
    expect(lines.length).toBeGreaterThanOrEqual(2 * BY_VXLAN.routes.length);
  });

  test('a VNI that flanneld’s device has: who, and what to do; then it works', async () => {
    await host.script(
      'ip link add flannel.1 type vxlan id 1 dstport 8472 local 192.0.2.1 dev eth0 nolearning',
    );
    const { code, message } = attempt(BY_VXLAN);
    expect(code).toBe('foreign-object');
    const [, remedy = ''] = /, (ip link delete \S+)$/.exec(message ?? '') ?? [];
    await host.script(remedy);
    bring(BY_VXLAN);
  });

  test('a UDP port that is taken: an error that says so', async () => {
    const other = 'ip link add other type vxlan id 7 dstport 8472 local 192.0.2.1 dev eth0 gbp';
    await host.script(`${other}
      ip link set other up`);
    expect(attempt(BY_VXLAN)).toMatchObject({
      code: 'host-command',
      message: expect.stringMatching(
        /link set dev corduroy\.1 up.*Address already in use.*Another program has its UDP/,
      ),
    });
  });

  test('the checksum of outer packets: switched as wished, and mended', async () => {
    const wanted: HostState = { ...BY_VXLAN, links: [{ ...VXLAN, txChecksum: false }, VXLAN6] };
    const state = async () =>
      /tx-checksum-ip-generic: (\S+)/.exec(await host.run('ethtool', '-k', 'corduroy.1'))?.[1];
    bring(BY_VXLAN);
    expect(await state()).not.toBe('off');
    bring(wanted);
    expect(await state()).toBe('off');
    await host.run('ethtool', '-K', 'corduroy.1', 'tx-checksum-ip-generic', 'on');
    expect(bring(wanted)).toEqual(['ethtool -K corduroy.1 tx-checksum-ip-generic off']);
  });

  test('a host without ethtool has all the rest, and an error with the package if it is asked for', async () => {
    const wanted: HostState = { ...BY_VXLAN, links: [{ ...VXLAN, txChecksum: false }, VXLAN6] };
    const tools = mkdtempSync(join(tmpdir(), 'cdyt-'));
    try {
      for (const tool of ['ip', 'bridge']) symlinkSync(`/sbin/${tool}`, join(tools, tool));
      expect(attempt(wanted, tools)).toMatchObject({
        code: 'host-in-part',
        message: expect.stringMatching(/ethtool -K corduroy\.1 .*apt-get install ethtool/),
      });
      const [link, ...others] = wanted.links;
      const optional = {
        ...wanted,
        links: [{ ...link, txChecksumOptional: true } as typeof VXLAN, ...others],
      };
      expect(attempt(optional, tools)).toMatchObject({ changes: [] });
    } finally {
      rmSync(tools, { recursive: true });
    }
    expect(bring(BY_VXLAN)).toEqual([]);
  });

  test('a gateway that the kernel refuses: all else is brought about, and the error says that it is in part', async () => {
    const refused = unicast('10.5.9.0/24', 'corduroy.1', '192.0.2.255', true);
    expect(attempt({ ...BY_VXLAN, routes: [refused, ...BY_VXLAN.routes] })).toMatchObject({
      code: 'host-in-part',
      message: expect.stringMatching(/still to do: route add 10\.5\.9\.0\/24 via .*invalid gateway/),
    });
    expect(bring(BY_VXLAN)).toEqual([]);
  });

  test('removal takes all of it, routes by the interface, too, and what is not Corduroy’s stays', async () => {
    const theirs = [
      '10.5.9.0/24 via 192.0.2.99 dev eth0 proto bird',
      '10.6.0.0/16 via 192.0.2.9 dev eth0 proto 67',
    ];
    await host.script(theirs.map((words) => `ip route add ${words}`).join('\n'));
    const before = await host.run('ip', 'route');
    for (const wanted of [BY_VXLAN, BY_GATEWAY]) {
      bring(wanted);
      expect(bring(null).length).toBeGreaterThan(0);
      expect(await host.run('ip', 'route')).toBe(before);
      expect(await host.run('ip', '-6', 'route', 'show', 'proto', '67')).toBe('');
      expect(await host.run('ip', 'link', 'show', 'type', 'vxlan')).toBe('');
    }
  });

  test('a kind of device that the kernel has not: an error with the module to load', ({ skip }) => {
    const ipip: IpipLink = {
      kind: 'ipip',
      name: 'corduroy.ipip',
      mtu: 1480,
      addresses: [],
      local: Ip.parse('192.0.2.1'),
      device: 'eth0',
    };
    if (isIpipMade(host)) skip('this kernel has ipip');
    expect(attempt({ links: [ipip], routes: [], sysctls: [] })).toMatchObject({
      code: 'host-command',
      message: expect.stringMatching(
        /The kernel makes no ipip devices: modprobe ipip, or choose another backend$/,
      ),
    });
  });
});

function isIpipMade(host: NetNamespace): boolean {
  const [program, args] = host.command('ip', [
    'link',
    'add',
    'name',
    'probe',
    'type',
    'ipip',
    'local',
    '192.0.2.1',
  ]);
  return spawnSync(program, args).status === 0;
}
