import type { LeaseAttributes } from '../lease/lease-record.ts';
import { printable } from '../printable.ts';

/** The objection to a lease whose host goes by another backend; `undefined`: it goes by this one. */
export function otherType({ backendType }: LeaseAttributes, type: string): string | undefined {
  if (backendType === type) return undefined;
  const found = backendType === undefined ? 'absent (udp or alloc)' : printable(backendType, 40);
  return (
    `its BackendType is ${found}, not ${type}: that host has not followed the network config yet, ` +
    'and if it runs flanneld, it has to be restarted for it'
  );
}
