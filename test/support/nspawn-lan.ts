import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { NetNamespace } from './netns.ts';

const execute = promisify(execFile);

/** Of the hosts' network. The router holds the last address. */
const ROUTER = '192.0.2.254';
/** In the world beyond the router, which knows the hosts' network and no containers'. */
export const WORLD = '203.0.113.1';

/**
 * The network between the hosts of a test: a switch, and a router with the world behind it. All of it in namespaces of
 * its own.
 */
export class Lan {
  /** Router and world. */
  readonly outside: NetNamespace;
  readonly #switch: NetNamespace;
  #ports = 0;

  private constructor(outside: NetNamespace, bridge: NetNamespace) {
    this.outside = outside;
    this.#switch = bridge;
  }

  static async create(): Promise<Lan> {
    const lan = new Lan(await NetNamespace.create(), await NetNamespace.create());
    await lan.#switch.script('ip link add br0 type bridge\nip link set br0 up');
    await lan.plug(lan.outside, ROUTER);
    await lan.outside.script(`ip address add ${WORLD}/32 dev lo\nsysctl -qw net.ipv4.ip_forward=1`);
    return lan;
  }

  /** Gives a namespace an eth0 with this address, and the router as its default route. */
  async plug(namespace: NetNamespace, address: string): Promise<void> {
    const port = `port${++this.#ports}`;
    // The same card after the host was off: the others have its address in their ARP tables.
    const mac = ['02', '00', ...address.split('.').map((byte) => Number(byte).toString(16))].join(':');
    await execute('ip', [
      ...['-n', this.#switch.name, 'link', 'add', port, 'type', 'veth'],
      ...['peer', 'name', 'eth0', 'address', mac, 'netns', namespace.name],
    ]);
    await this.#switch.script(`ip link set ${port} master br0 up`);
    await namespace.script(`ip address add ${address}/24 dev eth0\nip link set eth0 up`);
    if (address !== ROUTER) await namespace.script(`ip route add default via ${ROUTER}`);
  }

  async remove(): Promise<void> {
    await this.outside.remove();
    await this.#switch.remove();
  }
}
