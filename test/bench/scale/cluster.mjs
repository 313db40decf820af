// Hosts that exist in etcd only: a lease and a node record each, as a corduroyd writes them.
import { join } from 'node:path';

/** Room for 8 191 subnets of 24 bits. */
export const NETWORK = '10.0.0.0/11';
const FIRST_SUBNET = 10 * 2 ** 24;
/** 172.16.0.0/12: where the hosts are, outside the network. */
const FIRST_ADDRESS = 172 * 2 ** 24 + 16 * 2 ** 16;
/** 100.64.0.0/10: where they move to. */
const FIRST_NEW_ADDRESS = 100 * 2 ** 24 + 64 * 2 ** 16;
export const PREFIX = '/coreos.com/network';
/** Seconds, as a daemon's. */
const TTL = 86_400;
const AT_ONCE = 32;

/** The parts of the build that the benchmark needs. */
export async function loadBuild(dist) {
  const [store, record, node, ip, prefix, protocol, lab, network, processes, topology] = await Promise.all(
    [
      'store/etcd/etcd-store.js',
      'lease/lease-record.js',
      'lease/node-record.js',
      'net/ip.js',
      'net/prefix.js',
      'datapath/protocol.js',
      'lab/lab.js',
      'lab/network.js',
      'lab/processes.js',
      'lab/topology.js',
    ].map((path) => import(join(dist, path))),
  );
  return {
    ...store,
    ...record,
    ...node,
    ...ip,
    ...prefix,
    ...protocol,
    ...lab,
    ...network,
    ...processes,
    ...topology,
  };
}

export class Cluster {
  #build;
  #store;
  /** What each host last wrote. */
  #hosts;

  /** @param count of hosts; the subnets from the second one on */
  constructor(build, store, count) {
    this.#build = build;
    this.#store = store;
    this.#hosts = Array.from({ length: count }, (_, index) => ({
      index,
      subnet: FIRST_SUBNET + (index + 1) * 256,
      address: FIRST_ADDRESS + index + 1,
      leaseId: undefined,
    }));
  }

  get size() {
    return this.#hosts.length;
  }

  /** Writes all of them, each with an etcd lease of its own. */
  async write() {
    await this.#each(async (host) => {
      host.leaseId = (await this.#store.grantLease(TTL)).id;
      await this.#put(host);
    });
  }

  /** Deletes all of them. */
  async remove() {
    await this.#each(({ leaseId }) => this.#store.revokeLease(leaseId));
  }

  /** Gives a host an address that no host has had. @returns it as a number, once etcd has it */
  async move(number) {
    const host = this.#hosts[number % this.#hosts.length];
    host.address = FIRST_NEW_ADDRESS + number;
    await this.#put(host);
    return host.address;
  }

  async #each(work) {
    const left = [...this.#hosts];
    const workers = Array.from({ length: AT_ONCE }, async () => {
      for (let host = left.pop(); host !== undefined; host = left.pop()) await work(host);
    });
    await Promise.all(workers);
  }

  async #put({ index, subnet, address, leaseId }) {
    const { Ip, Prefix, leaseKey, nodeKey, formatLeaseValue, formatNodeValue } = this.#build;
    const subnets = [Prefix.of(Ip.of(4, BigInt(subnet)), 24)];
    const key = leaseKey(PREFIX, subnets);
    const publicIp = Ip.of(4, BigInt(address));
    const nodeId = index.toString(16).padStart(32, '0');
    const record = {
      nodeId,
      hostName: `host-${index}.example.net`,
      version: '0.1.0',
      capabilities: ['udp', 'native', 'ecn'],
      lease: key.slice(key.lastIndexOf('/') + 1),
      publicIp,
      hardware: nodeId,
    };
    const puts = [
      [key, formatLeaseValue({ publicIp, publicIpv6: undefined })],
      [nodeKey(PREFIX, nodeId), formatNodeValue(record)],
    ].map(([name, value]) => ({ do: 'put', key: name, value, leaseId }));
    const { succeeded } = await this.#store.transaction([], puts);
    if (!succeeded) throw new Error(`etcd did not take the lease of host ${index}`);
  }
}
