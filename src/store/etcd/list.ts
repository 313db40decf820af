import type { Listing } from '../store.ts';
import type { EtcdClient } from './client.ts';
import { entryOf, prefixRange } from './wire.ts';

/** All entries under the prefix as of one revision, sorted by key: etcd's order when none is asked for. */
export async function listKeys(client: EtcdClient, prefix: string): Promise<Listing> {
  const range = prefixRange(Buffer.from(prefix));
  const response = await client.repeatable(`read the keys under "${prefix}"`, ({ kv }) => kv.range(range), [
    { permission: 'read', key: prefix, prefix: true },
  ]);
  return { revision: BigInt(response.header.revision), entries: response.kvs.map(entryOf) };
}
