import { z } from 'zod';
import { CorduroyError } from '../errors.ts';

/**
 * What a host needs besides trust in etcd. Kept in etcd under a key that nobody but the bearer of the token (and root)
 * may read. It is not under the network's prefix, which every host reads and keeps a copy of.
 *
 *     key    /corduroy-join/5d1e07a2c9
 *     value  {"version":1,"createdAt":"…","endsAt":"…","prefix":"/coreos.com/network",
 *             "endpoints":["https://10.0.0.1:2379"],"username":"corduroyd","password":"…"}
 */
export type Bundle = z.infer<typeof schema>;

const schema = z.object({
  version: z.literal(1),
  /** RFC 3339. */
  createdAt: z.string(),
  /** RFC 3339. The key's lease is no proof: whoever reaches etcd can keep that alive. */
  endsAt: z.string(),
  prefix: z.string().regex(/^(\/[^/]+)+$/),
  endpoints: z.array(z.string().regex(/^https:\/\/[^/\s@]+$/)).min(1),
  username: z.string().min(1),
  password: z.string().min(1),
});

export const BUNDLES = '/corduroy-join/';

export function bundleKey(id: string): string {
  return BUNDLES + id;
}

export function formatBundle(bundle: Bundle): string {
  return JSON.stringify(bundle);
}

/** @throws CorduroyError `malformed`; does not repeat the text, which holds a password */
export function parseBundle(text: string): Bundle {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    document = undefined;
  }
  const { data } = schema.safeParse(document);
  if (data !== undefined) return data;
  throw new CorduroyError(
    'malformed',
    'what etcd keeps for this token cannot be understood: install the same version of Corduroy on both hosts',
  );
}
