import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { LAB_BRIDGE, type LabHost } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

/** What flanneld 0.28 would have on h2. */
const SUBNETS = ['10.244.99.0/24', 'fd00:10:244:99::/64'];
const NAME = '10.244.99.0-24&fd00:10:244:99::-64';
const BRIDGE = ['10.244.99.1/24', 'fd00:10:244:99::1/64'];
const CONTAINER = ['10.244.99.2', 'fd00:10:244:99::2'];
const VTEPS = ['fe:d2:32:6f:8f:44', 'fe:d2:32:6f:8f:46'];
const REPLACED = ['fe:d2:32:6f:8f:54', 'fe:d2:32:6f:8f:56'];

interface LeaseValue {
  readonly PublicIP: string;
  readonly PublicIPv6: string;
  readonly BackendType: string;
  readonly BackendData?: { readonly VNI: number; readonly VtepMAC: string };
  readonly BackendV6Data?: { readonly VNI: number; readonly VtepMAC: string };
}

/** A backend of flannel's, by the commands that do what it does with netlink. */
interface Flannel {
  readonly backend: { readonly Type: string } & Record<string, unknown>;
  readonly mtu: number;
  readonly data: (macs: readonly string[]) => object;
  readonly start: readonly string[];
  /** @param subnets the other host's, IPv4 first */
  readonly add: (subnets: readonly string[], value: LeaseValue) => string[];
}

const DIRECT: Flannel['add'] = ([v4, v6], { PublicIP, PublicIPv6 }) => [
  `ip route replace ${v4} via ${PublicIP} dev eth0`,
  `ip -6 route replace ${v6} via ${PublicIPv6} dev eth0`,
];
const firstOf = (subnet = '') => subnet.replace(/\/.*/, '');

const VXLAN: Flannel = {
  backend: { Type: 'vxlan' },
  mtu: 1430,
  data: ([v4, v6]) => ({
    BackendData: { VNI: 1, VtepMAC: v4 },
    BackendV6Data: { VNI: 1, VtepMAC: v6 },
  }),
  start: [
    `ip link add flannel.1 address ${VTEPS[0]} mtu 1450 type vxlan id 1 dev eth0 local 192.0.2.2 dstport 8472 nolearning`,
    'ip address add 10.244.99.0/32 dev flannel.1',
    'ip link set flannel.1 up',
    `ip link add flannel-v6.1 address ${VTEPS[1]} mtu 1450 type vxlan id 1 dev eth0 local 2001:db8::2 dstport 8472 nolearning`,
    'ip address add fd00:10:244:99::/128 dev flannel-v6.1 nodad',
    'ip link set flannel-v6.1 up',
  ],
  add: ([v4, v6], { PublicIP, PublicIPv6, BackendData, BackendV6Data }) => [
    `ip neigh replace ${firstOf(v4)} lladdr ${BackendData?.VtepMAC} dev flannel.1 nud permanent`,
    `bridge fdb replace ${BackendData?.VtepMAC} dev flannel.1 dst ${PublicIP} self permanent`,
    `ip route replace ${v4} via ${firstOf(v4)} dev flannel.1 onlink`,
    `ip neigh replace ${firstOf(v6)} lladdr ${BackendV6Data?.VtepMAC} dev flannel-v6.1 nud permanent`,
    `bridge fdb replace ${BackendV6Data?.VtepMAC} dev flannel-v6.1 dst ${PublicIPv6} self permanent`,
    `ip -6 route replace ${v6} via ${firstOf(v6)} dev flannel-v6.1 onlink`,
  ],
};

const CASES: readonly [string, Flannel][] = [
  ['vxlan', VXLAN],
  ['vxlan with DirectRouting', { ...VXLAN, backend: { Type: 'vxlan', DirectRouting: true }, add: DIRECT }],
  ['host-gw', { backend: { Type: 'host-gw' }, mtu: 1500, data: () => ({}), start: [], add: DIRECT }],
];

const leaseOf = ({ backend: { Type }, data }: Flannel, macs: readonly string[]) =>
  JSON.stringify({ PublicIP: '192.0.2.2', PublicIPv6: '2001:db8::2', BackendType: Type, ...data(macs) });

describe.concurrent(`beside a host with flanneld ${labObstacle() ?? ''}`, () => {
  for (const [what, flannel] of CASES) describeCase(what, flannel);
});

function describeCase(what: string, flannel: Flannel): void {
  describe.skipIf(labObstacle())(what, { concurrent: false }, () => {
    let lab: TestLab;
    let h1: LabHost;
    let h2: LabHost;
    let status: StatusDocument;

    beforeAll(async () => {
      lab = await TestLab.start({ families: [4, 6], backend: flannel.backend });
      [h1] = (await lab.addHosts(1)) as [LabHost];
      h2 = await lab.lab.prepareHost(2);
      const lines = [
        'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1',
        `ip link add ${LAB_BRIDGE} type bridge`,
        ...BRIDGE.map(
          (address) => `ip address add ${address} dev ${LAB_BRIDGE} ${address.includes(':') ? 'nodad' : ''}`,
        ),
        `ip link set ${LAB_BRIDGE} up`,
        ...flannel.start,
      ];
      await lab.on(h2, 'sh', '-ec', lines.join('\n'));
      const [v4, v6] = BRIDGE;
      writeFileSync(h2.subnetFile, `FLANNEL_SUBNET=${v4}\nFLANNEL_IPV6_SUBNET=${v6}\n`);
      status = await lab.status(h1);
      await lab.lab.addContainer(h2, {
        ...status,
        lease: { ...status.lease, subnets: SUBNETS },
      } as StatusDocument);
    });
    afterAll(async () => {
      await lab?.remove();
    });

    /** What flanneld does when it sees h1's lease. */
    const addRoutes = async () => {
      const subnets = status.lease?.subnets ?? [];
      const key = `${NETWORK_PREFIX}/subnets/${subnets.join('&').replaceAll('/', '-')}`;
      const value: LeaseValue = JSON.parse(await lab.etcdctl('get', '--print-value-only', key));
      await lab.on(h2, 'sh', '-ec', flannel.add(subnets, value).join('\n'));
    };

    /** Whether a packet of the overlay's size gets from one container to the other, in both families. */
    const reaches = async (from: LabHost, addresses: readonly string[]) => {
      const pings = addresses.map(async (address) => {
        const size = flannel.mtu - (address.includes(':') ? 48 : 28);
        const words = ['-n', '-c', '1', '-W', '1', '-M', 'do', '-s', String(size), address];
        return (await lab.attempt(from.container.namespace, 'ping', ...words)).code === 0;
      });
      return (await Promise.all(pings)).every(Boolean);
    };

    const tables = () => lab.on(h1, 'sh', '-c', 'ip neigh show nud permanent; bridge fdb');

    it('reads its lease, is read by it, and packets of full size cross both ways', async () => {
      await lab.putLease(NAME, leaseOf(flannel, VTEPS));
      await addRoutes();
      await until('h1 reaches h2', () => reaches(h1, CONTAINER));
      if (flannel !== VXLAN) expect(await tables()).not.toContain(VTEPS[0]);
      const own = (status.lease?.subnets ?? []).map((subnet) => `${firstOf(subnet).replace(/\.0$/, '.')}2`);
      await until('h2 reaches h1', () => reaches(h2, own));
      expect((await lab.status(h1)).ignoredLeases).toEqual([]);
    });

    const changesItsAddresses = async () => {
      expect(await tables()).toContain(VTEPS[0]);
      const devices = ['flannel.1', 'flannel-v6.1'];
      const lines = devices.map((device, at) => `ip link set ${device} address ${REPLACED[at]}`);
      await lab.on(h2, 'sh', '-ec', lines.join('\n'));
      await addRoutes(); // The kernel forgets a device's neighbours when its address changes.
      await lab.putLease(NAME, leaseOf(flannel, REPLACED));
      await until('h1 reaches h2', () => reaches(h1, CONTAINER));
      const text = await tables();
      for (const mac of VTEPS) expect(text).not.toContain(mac);
      for (const mac of REPLACED) expect(text).toContain(mac);
    };
    if (flannel === VXLAN)
      it('forgets the MAC addresses of before when flanneld has made its devices anew', changesItsAddresses);

    it('holds nothing of it when its lease is gone', async () => {
      await lab.etcdctl('del', `${NETWORK_PREFIX}/subnets/${NAME}`);
      const routes = () => lab.on(h1, 'sh', '-c', 'ip route; ip -6 route');
      const traces = async () => `${await routes()} ${await tables()}`;
      await until(
        'nothing is left of it',
        async () => !/10\.244\.99\.|fd00:10:244:99:|fe:d2:32:/.test(await traces()),
      );
    });
  });
}
