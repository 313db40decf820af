import fc from 'fast-check';
import {
  DROP_REASONS,
  type DropReason,
  type EngineConfig,
  type EngineStats,
  OFFLOADS,
  type Offload,
  type OffloadStatus,
  type RouteDelta,
  type RouteTable,
} from '../../../src/datapath/datapath.ts';
import { ADDRESS_BITS, type Family, Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';

export const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
export const ip = fc
  .constantFrom<Family>(4, 6)
  .chain((family) =>
    fc
      .bigInt({ min: 0n, max: (1n << BigInt(ADDRESS_BITS[family])) - 1n })
      .map((value) => Ip.of(family, value)),
  );
export const prefix = ip.chain((address) =>
  fc.nat(ADDRESS_BITS[address.family]).map((length) => Prefix.of(address, length)),
);
export const endpoint = fc.record({ address: ip, port: fc.integer({ min: 1, max: 65_535 }) });
const routes = fc.array(fc.record({ prefix, peer: endpoint }));

export const config: fc.Arbitrary<EngineConfig> = fc.record({
  tunName: fc.stringMatching(/^[a-z0-9._-]{1,15}$/),
  mtu: fc.integer({ min: 68, max: 65_507 }),
  listen: endpoint,
  icmpSources: fc.array(ip, { maxLength: 3 }),
  strictSource: fc.boolean(),
  offload: fc.boolean(),
  ecn: fc.boolean(),
  queues: fc.integer({ min: 1, max: 16 }),
});
export const table: fc.Arbitrary<RouteTable> = fc.record({
  generation: u64,
  local: fc.array(prefix),
  routes,
});
export const delta: fc.Arbitrary<RouteDelta> = fc.record({
  from: u64,
  to: u64,
  remove: fc.array(prefix),
  set: routes,
});
const drops = fc.record(
  Object.fromEntries(Object.keys(DROP_REASONS).map((reason) => [reason, u64])) as Record<
    DropReason,
    typeof u64
  >,
);
const offloads: fc.Arbitrary<OffloadStatus[]> = fc.array(
  fc.record({
    offload: fc.constantFrom(...(Object.keys(OFFLOADS) as Offload[])),
    state: fc.constantFrom<OffloadStatus['state']>('off', 'on', 'lost'),
    reason: fc.string({ unit: 'grapheme' }),
  }),
);
export const stats: fc.Arbitrary<EngineStats> = fc.record({
  generation: u64,
  routes: fc.nat(),
  drops,
  offloads,
  peers: fc.array(
    fc.record({
      address: ip,
      sentPackets: u64,
      sentBytes: u64,
      receivedPackets: u64,
      receivedBytes: u64,
      pathMtu: fc.nat(65_507),
      noSegment: fc.string(),
    }),
  ),
});
