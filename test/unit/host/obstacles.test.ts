import { expect, test } from 'vitest';
import { passObstacles } from '../../../src/host/obstacles.ts';
import { planHost } from '../../../src/host/plan.ts';
import type { HostState, LinkState, ObservedLink } from '../../../src/host/state.ts';
import { Ip } from '../../../src/net/ip.ts';
import { link, OWN, route } from './planning.ts';
import { SimulatedHost } from './simulated-host.ts';

const VXLAN: LinkState = {
  kind: 'vxlan',
  name: 'corduroy.1',
  mtu: 1450,
  addresses: [],
  mac: '02:11:11:11:11:04',
  vni: 1,
  port: 8472,
  local: Ip.parse('192.0.2.1'),
  device: 'eth0',
  learning: false,
  gbp: false,
  remotes: [{ ip: Ip.parse('10.5.2.0'), mac: '02:aa:00:00:04:02', destination: Ip.parse('192.0.2.2') }],
};
const WANTED: HostState = {
  links: [VXLAN, { kind: 'tun', name: 'corduroy0', mtu: 1472, addresses: [] }],
  routes: [route('10.5.0.0/16', 'corduroy0'), route('10.5.2.0/24', 'corduroy.1', 'via 10.5.2.0 onlink')],
  sysctls: ['corduroy0', 'corduroy.1'].map((name) => ({
    path: `net/ipv4/conf/${name}/forwarding`,
    value: '1',
  })),
};
const flanneld: ObservedLink = link('flannel.1', 'vxlan', '', {
  tunnel: { device: 'eth0', vxlan: { vni: 1, port: 8472, learning: false, gbp: false } },
});

test.each<[string, ObservedLink, RegExp]>([
  ['has its VNI', flanneld, /^the VXLAN device flannel\.1 has VNI 1 .* ip link delete flannel\.1$/],
  [
    'has its name',
    link('corduroy.1', 'vxlan'),
    /^the link corduroy\.1 exists .* ip link delete corduroy\.1$/,
  ],
])(
  'a foreign link that %s keeps nothing else from being done, and is never touched',
  (_what, foreign, why) => {
    const found = new SimulatedHost([foreign]).observe(OWN.protocol);
    const { wanted, obstacle } = passObstacles(WANTED, found, OWN);
    expect(obstacle).toMatchObject({ code: 'foreign-object', message: expect.stringMatching(why) });
    const { devices, ways, isInPart } = planHost(wanted, found, OWN);
    const lines = [...devices, ...ways];
    expect(lines).toContain('route add 10.5.0.0/16 dev corduroy0 proto 67');
    expect(lines.join()).not.toMatch(/corduroy\.1|flannel/);
    expect(isInPart).toBe(false);
    expect(wanted.sysctls.map(({ path }) => path)).toEqual(['net/ipv4/conf/corduroy0/forwarding']);
  },
);

test('what is missing of single hosts is told from what all need', () => {
  const [tun, vxlan] = [
    link('corduroy0', 'tun', 'corduroy', { mtu: 1472 }),
    link('corduroy.1', 'vxlan', 'corduroy', {
      mtu: 1450,
      mac: '02:11:11:11:11:04',
      tunnel: {
        local: Ip.parse('192.0.2.1'),
        device: 'eth0',
        vxlan: { vni: 1, port: 8472, learning: false, gbp: false },
      },
    }),
  ];
  const [whole, single] = WANTED.routes;
  const inPart = (links: ObservedLink[], routes: HostState['routes']) => {
    const found = { links, routes, vxlans: new Map() };
    const plan = planHost(WANTED, found, OWN);
    expect([...plan.devices, ...plan.ways]).not.toEqual([]);
    return plan.isInPart;
  };
  if (whole === undefined || single === undefined) throw new Error('no routes');
  expect(inPart([tun, vxlan], [whole])).toBe(true);
  expect(inPart([tun, vxlan], [single])).toBe(false);
  expect(inPart([tun], [whole])).toBe(false);
  expect(inPart([{ ...tun, mtu: 1500 }, vxlan], [whole, single])).toBe(false);
});
