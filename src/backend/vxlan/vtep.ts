import { createHash } from 'node:crypto';
import type { LeaseAttributes } from '../../lease/lease-record.ts';
import type { Family } from '../../net/ip.ts';
import { isUnicastMac, localMac, parseMac } from '../../net/mac.ts';
import { DATA_KEYS, fieldsOf, shownField } from '../backend-data.ts';

/**
 * A host's end of the VXLAN (a VTEP), as its lease describes it, once a family, in flannel's key order:
 *
 *     "BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}
 *     "BackendV6Data":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:45"}
 *
 * @param vni 1 … 16777215
 */
export function formatVtep(vni: number, mac: string): object {
  return { VNI: vni & MAX_LEASE_VNI, VtepMAC: mac };
}

/** flanneld keeps a VNI in 16 bits here, and rejects a lease that names a larger one. */
const MAX_LEASE_VNI = 0xffff;

/**
 * The hardware address of this host's device: the same after a re-creation, a reboot or a re-installation, so that what
 * other hosts have noted of it stays right; another one for each host, instance, VNI and family.
 */
export function ownMac(nodeId: string, vni: number, family: Family): string {
  return localMac(createHash('sha256').update(`vxlan ${nodeId} ${vni} ${family}`).digest());
}

/** @returns the MAC in the kernel's spelling, or why it cannot be sent to */
export function peerMac(
  attributes: LeaseAttributes,
  { vni, mac: own, family }: { readonly vni: number; readonly mac: string; readonly family: Family },
): { readonly mac: string } | { readonly objection: string } {
  const key = DATA_KEYS[family];
  const data = fieldsOf(attributes, family, EXAMPLE);
  if ('objection' in data) return data;
  const { VNI: theirs, VtepMAC: text } = data.fields;
  const mac = typeof text === 'string' ? parseMac(text) : undefined;
  if (mac === undefined || !isUnicastMac(mac)) {
    return {
      objection: `the VtepMAC in its ${key} is ${shownField(text)}, and has to be the MAC address of one device`,
    };
  }
  if (theirs !== vni && theirs !== (vni & MAX_LEASE_VNI)) {
    return { objection: `the VNI in its ${key} is ${shownField(theirs)}, and the network's is ${vni}` };
  }
  if (mac === own) {
    return {
      objection: `the VtepMAC in its ${key}, ${mac}, is this host's own: one of them is a copy of the other`,
    };
  }
  return { mac };
}

const EXAMPLE = JSON.stringify(formatVtep(1, 'c6:d2:32:6f:8f:44'));
