import { CorduroyError } from '../errors.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import {
  DROP_REASONS,
  type DropReason,
  type EngineConfig,
  type EngineHello,
  type EnginePeer,
  type EngineStats,
  OFFLOAD_STATES,
  OFFLOADS,
  type Offload,
  type OffloadStatus,
  type Route,
  type RouteDelta,
  type RouteTable,
} from './datapath.ts';
import { REFUSALS, REQUEST_TYPES, type Refusal, type RequestKind } from './protocol.ts';

export type Request =
  | { readonly kind: 'hello' }
  | { readonly kind: 'configure'; readonly config: EngineConfig }
  | { readonly kind: 'replace-routes'; readonly table: RouteTable }
  | { readonly kind: 'update-routes'; readonly delta: RouteDelta }
  | { readonly kind: 'stats' }
  | { readonly kind: 'shutdown' };

/** Largest inner packet: what fits a UDP datagram over IPv4. Smallest: what every IPv4 link must carry (RFC 791). */
const MTU_MIN = 68;
const MTU_MAX = 65_507;
const ICMP_SOURCES_MAX = 16;
/** IFNAMSIZ of the kernel, less its final zero byte. */
const DEVICE_NAME_MAX = 15;
const QUEUES_MAX = 16;
const FLAGS = { strictSource: 1, offload: 2, ecn: 4 } as const;
const FLAGS_ALL = 7;

const DROP_REASON_NAMES = Object.keys(DROP_REASONS) as DropReason[];
const OFFLOAD_NAMES = Object.keys(OFFLOADS) as Offload[];
const OFFLOAD_STATE_NAMES = Object.keys(OFFLOAD_STATES) as OffloadStatus['state'][];

/** A zero for every drop reason. */
export function noDrops(): Record<DropReason, bigint> {
  return Object.fromEntries(DROP_REASON_NAMES.map((reason) => [reason, 0n])) as Record<DropReason, bigint>;
}

/** @throws CorduroyError `malformed` when a value does not fit its field */
export function encodeRequest(request: Request): Uint8Array {
  switch (request.kind) {
    case 'configure':
      return encodeConfig(request.config);
    case 'replace-routes':
      return encodeTable(request.table);
    case 'update-routes':
      return encodeDelta(request.delta);
    default:
      return new Uint8Array(0);
  }
}

/**
 * The request of a frame; `undefined` when there is no request of that type.
 * @throws CorduroyError `malformed`
 */
export function decodeRequest(type: number, payload: Uint8Array): Request | undefined {
  const reader = new ByteReader(payload);
  const request = readRequest(requestKind(type), reader);
  if (request !== undefined) reader.end();
  return request;
}

export function requestKind(type: number): RequestKind | undefined {
  return (Object.keys(REQUEST_TYPES) as RequestKind[]).find((kind) => REQUEST_TYPES[kind] === type);
}

function readRequest(kind: RequestKind | undefined, reader: ByteReader): Request | undefined {
  switch (kind) {
    case 'configure':
      return { kind, config: readConfig(reader) };
    case 'replace-routes':
      return { kind, table: readTable(reader) };
    case 'update-routes':
      return { kind, delta: readDelta(reader) };
    case 'hello':
    case 'stats':
    case 'shutdown':
      return { kind };
    case undefined:
      return undefined;
  }
}

/** HELLO's answer: engine, build, pid, and 0, or 1 and the configuration. */
export function encodeHello(hello: EngineHello): Uint8Array {
  const writer = new ByteWriter().string(hello.engine).string(hello.build).u32(hello.pid);
  if (hello.config === undefined) return writer.u8(0).finish();
  return writer.u8(1).bytes(encodeConfig(hello.config)).finish();
}

export function decodeHello(payload: Uint8Array): EngineHello {
  const reader = new ByteReader(payload);
  const [engine, build, pid] = [reader.string(), reader.string(), reader.u32()];
  const config = readFlag(reader) ? readConfig(reader) : undefined;
  reader.end();
  return { engine, build, pid, config };
}

/**
 *     | tun name string | mtu u32 | listen endpoint | count u8 | ICMP sources … | flags u8 | queues u8 |
 *
 *     flags: 1 strictSource, 2 offload, 4 ecn
 *
 * One configuration has exactly one encoding, so equal bytes mean equal configurations.
 */
export function encodeConfig(config: EngineConfig): Uint8Array {
  const writer = new ByteWriter().string(config.tunName).u32(config.mtu).endpoint(config.listen);
  writer.u8(config.icmpSources.length);
  for (const source of config.icmpSources) writer.address(source);
  const flags =
    (config.strictSource ? FLAGS.strictSource : 0) |
    (config.offload ? FLAGS.offload : 0) |
    (config.ecn ? FLAGS.ecn : 0);
  return writer.u8(flags).u8(config.queues).finish();
}

function readConfig(reader: ByteReader): EngineConfig {
  const tunName = reader.string();
  if (tunName === '' || Buffer.byteLength(tunName) > DEVICE_NAME_MAX || tunName.includes('\0')) {
    throw new CorduroyError('malformed', `"${tunName}" is not a device name of 1 … ${DEVICE_NAME_MAX} bytes`);
  }
  const mtu = reader.u32();
  if (mtu < MTU_MIN || mtu > MTU_MAX) {
    throw new CorduroyError('malformed', `an MTU of ${mtu} is not in ${MTU_MIN} … ${MTU_MAX}`);
  }
  const listen = reader.endpoint();
  const sources = reader.u8();
  if (sources > ICMP_SOURCES_MAX) {
    throw new CorduroyError('malformed', `${sources} ICMP sources are more than ${ICMP_SOURCES_MAX}`);
  }
  const icmpSources = Array.from({ length: sources }, () => reader.address());
  const flags = reader.u8();
  if (flags > FLAGS_ALL) {
    throw new CorduroyError('malformed', `${flags} has flags that are not known (${FLAGS_ALL} are all)`);
  }
  const queues = reader.u8();
  if (queues < 1 || queues > QUEUES_MAX) {
    throw new CorduroyError('malformed', `a number of ${queues} queues is not in 1 … ${QUEUES_MAX}`);
  }
  return {
    tunName,
    mtu,
    listen,
    icmpSources,
    strictSource: (flags & FLAGS.strictSource) !== 0,
    offload: (flags & FLAGS.offload) !== 0,
    ecn: (flags & FLAGS.ecn) !== 0,
    queues,
  };
}

/** `| generation u64 | count u32 | local prefixes … | count u32 | routes … |`, a route being a prefix and an endpoint. */
function encodeTable(table: RouteTable): Uint8Array {
  const writer = new ByteWriter().u64(table.generation).u32(table.local.length);
  for (const prefix of table.local) writer.prefix(prefix);
  return writeRoutes(writer, table.routes).finish();
}

function readTable(reader: ByteReader): RouteTable {
  return {
    generation: reader.u64(),
    local: reader.list((each) => each.prefix()),
    routes: reader.list(readRoute),
  };
}

/** `| from u64 | to u64 | count u32 | prefixes to remove … | count u32 | routes to set … |` */
function encodeDelta(delta: RouteDelta): Uint8Array {
  const writer = new ByteWriter().u64(delta.from).u64(delta.to).u32(delta.remove.length);
  for (const prefix of delta.remove) writer.prefix(prefix);
  return writeRoutes(writer, delta.set).finish();
}

function readDelta(reader: ByteReader): RouteDelta {
  return {
    from: reader.u64(),
    to: reader.u64(),
    remove: reader.list((each) => each.prefix()),
    set: reader.list(readRoute),
  };
}

/**
 *     | generation u64 | routes u32 | count u16 | { reason u16, packets u64 } … |
 *     | count u8 | { offload u8, state u8, reason string } … | count u32 | peers … |
 *
 *     peer: | address | sent packets, sent bytes, received packets, received bytes: u64 each |
 *           | path MTU u32 | no segment string |
 */
export function encodeStats(stats: EngineStats): Uint8Array {
  const writer = new ByteWriter().u64(stats.generation).u32(stats.routes).u16(DROP_REASON_NAMES.length);
  for (const reason of DROP_REASON_NAMES) writer.u16(DROP_REASONS[reason]).u64(stats.drops[reason]);
  writer.u8(stats.offloads.length);
  for (const { offload, state, reason } of stats.offloads) {
    writer.u8(OFFLOADS[offload]).u8(OFFLOAD_STATES[state]).string(reason);
  }
  writer.u32(stats.peers.length);
  for (const peer of stats.peers) {
    writer.address(peer.address).u64(peer.sentPackets).u64(peer.sentBytes);
    writer.u64(peer.receivedPackets).u64(peer.receivedBytes).u32(peer.pathMtu).string(peer.noSegment);
  }
  return writer.finish();
}

/** A reason or an offload that this side does not know is left out: a newer engine may have one more. */
export function decodeStats(payload: Uint8Array): EngineStats {
  const reader = new ByteReader(payload);
  const [generation, routes] = [reader.u64(), reader.u32()];
  const drops = noDrops();
  for (let left = reader.u16(); left > 0; left--) {
    const [code, packets] = [reader.u16(), reader.u64()];
    const reason = DROP_REASON_NAMES.find((name) => DROP_REASONS[name] === code);
    if (reason !== undefined) drops[reason] = packets;
  }
  const offloads: OffloadStatus[] = [];
  for (let left = reader.u8(); left > 0; left--) {
    const status = readOffload(reader);
    if (status !== undefined) offloads.push(status);
  }
  const peers = reader.list(readPeer);
  reader.end();
  return { generation, routes, drops, offloads, peers };
}

function readOffload(reader: ByteReader): OffloadStatus | undefined {
  const [code, stateCode, reason] = [reader.u8(), reader.u8(), reader.string()];
  const state = OFFLOAD_STATE_NAMES.find((name) => OFFLOAD_STATES[name] === stateCode);
  if (state === undefined) throw new CorduroyError('malformed', `${stateCode} is no state of an offload`);
  const offload = OFFLOAD_NAMES.find((name) => OFFLOADS[name] === code);
  return offload === undefined ? undefined : { offload, state, reason };
}

function readPeer(reader: ByteReader): EnginePeer {
  return {
    address: reader.address(),
    sentPackets: reader.u64(),
    sentBytes: reader.u64(),
    receivedPackets: reader.u64(),
    receivedBytes: reader.u64(),
    pathMtu: reader.u32(),
    noSegment: reader.string(),
  };
}

/** `| code u16 | text string |`. A long text is cut: it must not make an error of an error. */
export function encodeError(refusal: Refusal, text: string): Uint8Array {
  return new ByteWriter().u16(REFUSALS[refusal]).string(text.slice(0, 4096)).finish();
}

/** The refusal is `undefined` for a code that this side does not know. */
export function decodeError(payload: Uint8Array): { refusal: Refusal | undefined; text: string } {
  const reader = new ByteReader(payload);
  const [code, text] = [reader.u16(), reader.string()];
  reader.end();
  return { refusal: (Object.keys(REFUSALS) as Refusal[]).find((name) => REFUSALS[name] === code), text };
}

function writeRoutes(writer: ByteWriter, routes: readonly Route[]): ByteWriter {
  writer.u32(routes.length);
  for (const { prefix, peer } of routes) writer.prefix(prefix).endpoint(peer);
  return writer;
}

function readRoute(reader: ByteReader): Route {
  return { prefix: reader.prefix(), peer: reader.endpoint() };
}

function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new CorduroyError('malformed', `${value} is neither 0 nor 1`);
  return value === 1;
}
