// Leases of hosts that are not there, as each backend's hosts write them: for one daemon with many peers.
import { createHash } from 'node:crypto';

/** Room for more than a thousand subnets of 24 bits. */
export const MANY_PEERS_NETWORK = '10.64.0.0/12';
/** Of the interface of a host whose peers they are: all of them are on its link. */
export const MANY_PEERS_ADDRESS = '172.16.255.1/16';
/** Subnets below are left to the host itself. */
const FIRST = 256;

/**
 * @param type of the backend
 * @param index 0 …
 * @param generation another one: the same host after it has changed all that it says of itself
 */
export function foreignLease(type, index, generation = 0) {
  const at = FIRST + index;
  const [high, low] = [at >> 8, at & 255];
  const network = `10.${64 + high}.${low}.0`;
  const address = `172.16.${(generation === 0 ? 0 : 128) + high}.${low}`;
  const data = dataOf(type, `${index} ${generation}`);
  const value = {
    PublicIP: address,
    PublicIPv6: null,
    ...(type === 'udp' ? {} : { BackendType: type }),
    ...(data && { BackendData: data }),
  };
  const nodeId = createHash('sha256').update(String(index)).digest('hex').slice(0, 32);
  const name = `${network}-24`;
  const record = {
    hostName: `host-${index}`,
    version: '0.0.0',
    capabilities: ['engine-native', 'direct'],
    lease: name,
    publicIP: address,
    hardware: nodeId,
  };
  return {
    name,
    subnet: `${network}/24`,
    first: network,
    address,
    mac: data?.VtepMAC,
    publicKey: data?.PublicKey,
    /** What is put below the prefix, without an etcd lease: a reservation, and where it matters who holds it. */
    entries: [
      [`subnets/${name}`, JSON.stringify(value)],
      ...(type === 'udp' ? [[`corduroy/nodes/${nodeId}`, JSON.stringify(record)]] : []),
    ],
  };
}

/** Lines for `etcdctl txn`, each batch as many as etcd takes in one transaction. */
export function transactions(prefix, leases) {
  const puts = leases.flatMap(({ entries }) =>
    entries.map(([key, value]) => `put ${prefix}/${key} ${JSON.stringify(value)}`),
  );
  const batches = [];
  for (let from = 0; from < puts.length; from += OPERATIONS_MAX)
    batches.push(`\n${puts.slice(from, from + OPERATIONS_MAX).join('\n')}\n\n\n`);
  return batches;
}

/** etcd's --max-txn-ops. */
const OPERATIONS_MAX = 128;

function dataOf(type, seed) {
  const bytes = createHash('sha256').update(seed).digest();
  const mac = ['02', ...[...bytes.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0'))].join(
    ':',
  );
  if (type === 'vxlan') return { VNI: 1, VtepMAC: mac };
  if (type === 'wireguard') return { PublicKey: bytes.toString('base64'), Port: 51820 };
  return undefined;
}
