// The paths that are compared, each in a world of its own, and how it is set up there.
import { ENGINE_MTU, startEngines } from './engines.mjs';
import { script } from './processes.mjs';
import { buildWorld, onBoth } from './topology.mjs';

const VXLAN = { mtu: 1450, id: 1, port: 8472 };

export const PATHS = [
  { id: 'plain', name: 'plain routing, no tunnel', mtu: 1500, setUp: plain },
  { id: 'vxlan', name: 'kernel VXLAN', mtu: VXLAN.mtu, setUp: vxlan },
  { id: 'native', name: 'native', engine: 'native', offload: true },
  { id: 'native-off', name: 'native, offloads off', engine: 'native', offload: false },
  { id: 'dgram', name: 'dgram', engine: 'dgram', offload: true },
  { id: 'dgram-off', name: 'dgram, offloads off', engine: 'dgram', offload: false },
];

/** The second section, which is of native too. */
export const MANY_ROUTES = {
  id: 'routes',
  name: 'native, 10 000 routes',
  engine: 'native',
  offload: true,
  routes: 10_000,
};

/** @returns what a measurement needs of a path that is up */
export async function setUpPath(path, { build, folder }) {
  const { id, name, mtu = ENGINE_MTU } = path;
  const hosts = await buildWorld(id, mtu);
  const engines =
    path.engine === undefined
      ? await path.setUp(hosts)
      : await startEngines(build, hosts, { ...path, folder, label: id });
  return { id, name, hosts, engines };
}

async function plain(hosts) {
  await onBoth(hosts, (host, other) =>
    script(host.namespace, `ip route add ${other.subnet} via ${other.outer} dev wire0`),
  );
  return [];
}

/** As flannel sets it up: nothing is learned, every neighbour is said. */
async function vxlan(hosts) {
  await onBoth(hosts, (host, other) =>
    script(
      host.namespace,
      `ip link add vx0 address ${mac(host)} type vxlan id ${VXLAN.id} local ${host.outer} dev wire0 dstport ${VXLAN.port} nolearning
       ip link set vx0 mtu ${VXLAN.mtu} up
       ip address add ${host.tunnel}/32 dev vx0
       ip neighbour add ${other.tunnel} lladdr ${mac(other)} dev vx0 nud permanent
       bridge fdb add ${mac(other)} dev vx0 dst ${other.outer} self permanent
       ip route add ${other.subnet} via ${other.tunnel} dev vx0 onlink`,
    ),
  );
  return [];
}

function mac({ number }) {
  return `02:00:00:00:01:0${number}`;
}
