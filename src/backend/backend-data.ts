import type { LeaseAttributes } from '../lease/lease-record.ts';
import type { Family } from '../net/ip.ts';
import { printable } from '../printable.ts';

/** What a backend says of a host's end in its lease, once a family. */
export const DATA_KEYS = { 4: 'BackendData', 6: 'BackendV6Data' } as const;

export function dataOf({ backendData, backendV6Data }: LeaseAttributes, family: Family): unknown {
  return family === 4 ? backendData : backendV6Data;
}

/** The fields of that, or why there are none. @param example JSON */
export function fieldsOf(
  attributes: LeaseAttributes,
  family: Family,
  example: string,
): { readonly fields: Readonly<Record<string, unknown>> } | { readonly objection: string } {
  const data = dataOf(attributes, family);
  if (typeof data === 'object' && data !== null) return { fields: data as Record<string, unknown> };
  const found = data === undefined ? 'missing' : 'no JSON object';
  return { objection: `its ${DATA_KEYS[family]} is ${found}, and has to be such as ${example}` };
}

/** A field for an objection: what another host has written is shown in part. */
export function shownField(value: unknown): string {
  return value === undefined ? 'missing' : printable(JSON.stringify(value), 60);
}
