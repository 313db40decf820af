import { CorduroyError } from '../errors.ts';
import { printable } from '../printable.ts';
import { corduroyFolder, isNodeId, type NodeId } from './node-record.ts';

/**
 * Whom a reservation is for. The reservation itself is a key without an etcd lease under `{prefix}/subnets/`, as in
 * flannel, which knows a host by its public address only; this side key names it whatever its address.
 *
 *     key    {prefix}/corduroy/reservations/10.244.3.0-24
 *     value  {"host":"db1"}
 */
export interface Reservation {
  /** A host name, or a node id. */
  readonly host: string;
}

export function reservationsFolder(prefix: string): string {
  return `${corduroyFolder(prefix)}reservations/`;
}

/** @param name last part of the lease's key, `10.244.3.0-24` */
export function reservationKey(prefix: string, name: string): string {
  return reservationsFolder(prefix) + name;
}

export function formatReservation({ host }: Reservation): string {
  return JSON.stringify({ host });
}

/** @throws CorduroyError `malformed` */
export function parseReservation(value: string): Reservation {
  let document: unknown;
  try {
    document = JSON.parse(value);
  } catch {
    throw new CorduroyError('malformed', 'the value is not JSON');
  }
  const host =
    typeof document === 'object' && document !== null && 'host' in document ? document.host : undefined;
  if (typeof host !== 'string' || host === '') throw new CorduroyError('malformed', 'host is no string');
  return { host: printable(host, 253) };
}

/** Whether a reservation is for the host of this id and name. */
export function isFor({ host }: Reservation, nodeId: NodeId, hostName: string): boolean {
  return isNodeId(host) ? host === nodeId : host === hostName;
}
