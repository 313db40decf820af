// Two hosts, joined directly, with a bridge and one container each; every one a network namespace.
//
//   c1 ── bridge h1 ══ veth, MTU 1500 ══ h2 bridge ── c2
//   10.111.1.2    192.0.2.1      192.0.2.2    10.111.2.2
//
// Every path has such a world of its own, with the same addresses, so that all of them can be up side by side. The
// offloads of the devices are what the kernel gives a veth, in all of them.
import { addNamespace, script } from './processes.mjs';

export const OVERLAY = '10.111.0.0/16';
const UNDERLAY_MTU = 1500;

const SYSCTLS = [
  'net.ipv4.ip_forward=1',
  'net.ipv4.conf.all.rp_filter=0',
  'net.ipv4.conf.default.rp_filter=0',
  'net.ipv6.conf.all.disable_ipv6=1',
  'net.ipv6.conf.default.disable_ipv6=1',
];

/** @param mtu of the containers and bridges: what the path carries in one packet */
export async function buildWorld(label, mtu) {
  const hosts = [];
  for (const number of [1, 2]) {
    hosts.push({
      number,
      namespace: await addNamespace(`${label}-h${number}`),
      container: await addNamespace(`${label}-c${number}`),
      outer: `192.0.2.${number}`,
      subnet: `10.111.${number}.0/24`,
      /** Of the tunnel's device: the subnet's address of all zeros, as flannel has it. */
      tunnel: `10.111.${number}.0`,
      containerAddress: `10.111.${number}.2`,
    });
  }
  const [one, two] = hosts;
  for (const { namespace, container } of hosts) {
    await script(namespace, `sysctl -qw ${SYSCTLS.join(' ')}`);
    await script(container, `sysctl -qw ${SYSCTLS.slice(1).join(' ')}`);
  }
  await script(
    one.namespace,
    `ip link add wire0 mtu ${UNDERLAY_MTU} type veth peer name wire0 netns ${two.namespace}`,
  );
  for (const { number, namespace, container, outer, containerAddress } of hosts) {
    const gateway = `10.111.${number}.1`;
    await script(
      namespace,
      `ip link set wire0 mtu ${UNDERLAY_MTU} up
       ip address add ${outer}/24 dev wire0
       ip link add br0 type bridge
       ip link add port0 mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${container}
       ip link set port0 master br0 up
       ip link set br0 mtu ${mtu} up
       ip address add ${gateway}/24 dev br0`,
    );
    await script(
      container,
      `ip link set eth0 up
       ip address add ${containerAddress}/24 dev eth0
       ip route add default via ${gateway}`,
    );
  }
  return hosts;
}

/** Calls with each host and its opposite. */
export async function onBoth([one, two], action) {
  return [await action(one, two), await action(two, one)];
}
