// Each backend in a lab of two hosts of its own, with real daemons.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const DIRECT = { DirectRouting: true };

export const BACKENDS = [
  { id: 'host-gw', name: 'host-gw: plain routing', backend: { Type: 'host-gw' } },
  { id: 'udp-direct', name: 'udp, DirectRouting', backend: { Type: 'udp', ...DIRECT } },
  { id: 'vxlan', name: 'vxlan', backend: { Type: 'vxlan' } },
  { id: 'udp', name: 'udp, native engine', backend: { Type: 'udp' } },
  { id: 'wireguard', name: 'wireguard', backend: { Type: 'wireguard' } },
  { id: 'udp-dgram', name: 'udp, dgram engine', backend: { Type: 'udp', Engine: 'dgram' } },
];
/** What the others are held against. */
export const PLAIN = 'host-gw';

export async function loadLabs(dist) {
  const load = (path) => import(join(dist, path));
  const parts = ['lab/lab.js', 'lab/network.js', 'lab/processes.js', 'lab/topology.js'];
  const [lab, network, processes, topology] = await Promise.all(parts.map(load));
  return { ...lab, ...network, ...processes, ...topology, dist };
}

/** @returns what a measurement needs of a backend that is up */
export async function setUpLab({ Lab, labConfig, containerAddress, dist }, { id, name, backend }) {
  const index = BACKENDS.findIndex((one) => one.id === id);
  const lab = new Lab(
    {
      name: `b${process.pid % 1e5}${index}`,
      config: labConfig({ backend }),
      hostFamilies: [4],
      links: 1,
      mtu: 1500,
    },
    dist,
  );
  const remove = () => Lab.down(lab.spec.name);
  try {
    await lab.start();
    const hosts = [];
    for (const number of [1, 2]) {
      const host = await lab.addHost(number);
      const { lease } = await lab.status(host);
      hosts.push({
        container: host.container.namespace,
        containerAddress: containerAddress(lease.subnets),
      });
    }
    const status = await untilSettled(lab, backend);
    return { id, name, hosts, engines: [], remove, mtu: status.mtu, by: carrierOf(status) };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A host sends plainly once its peer has said that it takes that. */
async function untilSettled(lab, { DirectRouting = false }) {
  for (const deadline = performance.now() + 5000; ; await sleep(50)) {
    const each = await Promise.all(lab.hosts().map((host) => lab.status(host)));
    if (!DirectRouting || each.every(({ peers }) => peers.length === 1 && peers[0].path === 'direct'))
      return each[0];
    if (performance.now() > deadline) throw new Error('the hosts do not send to each other plainly');
  }
}

/** What moved the packets: a figure of wireguard-go says nothing about the kernel's. */
function carrierOf({ engine, wireguard, carriedBy, peers }) {
  if (engine !== undefined) return peers[0].path === 'direct' ? 'kernel' : engine.name;
  return wireguard ?? carriedBy;
}
