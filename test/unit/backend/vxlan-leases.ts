import { DUAL_IFACE, inputWith, openBackend, V4 } from './fixtures.ts';

export const MAC = 'c6:d2:32:6f:8f:44';
export const MAC6 = 'c6:d2:32:6f:8f:46';

/** A peer's lease as flanneld writes it. */
export const lease = (publicIp: string, mac = MAC, vni = 1) => ({
  PublicIP: publicIp,
  PublicIPv6: null,
  BackendType: 'vxlan',
  BackendData: { VNI: vni, VtepMAC: mac },
});
export const dualLease = (publicIp: string, publicIpv6: string) => ({
  ...lease(publicIp),
  PublicIPv6: publicIpv6,
  BackendV6Data: { VNI: 1, VtepMAC: MAC6 },
});

export function open(options: object = {}, context: Parameters<typeof openBackend>[1] = {}) {
  return openBackend({ Type: 'vxlan', ...options }, { iface: DUAL_IFACE, ...context });
}

/** Why the host of a lease is no peer. */
export function objection(value: object, options: object = {}, name = '10.5.2.0-24', over: object = V4) {
  const [peer] = inputWith({ [name]: value }, { over }).peers;
  if (peer === undefined) throw new Error('the lease of this test is malformed');
  return open(options, { over }).objectionTo(peer);
}
