import {
  DONT_FRAGMENT,
  ICMP,
  ICMPV6,
  type IpFields,
  ipPacket,
  type Made,
  MORE_FRAGMENTS,
} from './packet-maker.ts';
import type { Random } from './random.ts';

/*
 * The choices that packets in both directions are made of.
 */

export type Family = 4 | 6;
export type Addresses = Pick<IpFields, 'source' | 'destination'>;

/** TCP options of any length; what they say is nobody's business on the way. */
export function tcpOptions(random: Random): Buffer {
  return random.chance(0.5)
    ? random.bytes(random.between(0, 10) * 4)
    : Buffer.from('0101080a0000000100000002', 'hex');
}

/** IP fields that are all allowed for a packet that is not a fragment. */
export function ipFields(random: Random, addresses: Addresses): Omit<IpFields, 'protocol'> {
  return {
    ...addresses,
    tos: random.chance(0.5) ? 0 : random.between(0, 255),
    ttl: random.between(2, 255),
    id: random.chance(0.1) ? 0xffff : random.between(0, 0xffff),
    fragment: random.chance(0.5) ? DONT_FRAGMENT : 0,
    flowLabel: random.chance(0.5) ? 0 : random.between(0, 0xfffff),
  };
}

/** IPv4 options that a router passes on as they are: no operation, router alert, an experimental one (RFC 4727). */
export function ipv4Options(random: Random): Buffer {
  return Buffer.concat(
    Array.from({ length: random.between(1, 10) }, () =>
      Buffer.from(random.pick(['01010101', '94040000', '5e04abcd', '1e041234']), 'hex'),
    ),
  );
}

/** IPv6 extension headers before `protocol`: hop-by-hop options, destination options, an atomic fragment. */
export function ipv6Extensions(random: Random, protocol: number): NonNullable<IpFields['extensions']> {
  const kinds = [0, 60, 44].filter(() => random.chance(0.5));
  if (kinds.length === 0) kinds.push(random.pick([0, 60]));
  const headers = kinds.map((kind, index) => {
    const next = kinds[index + 1] ?? protocol;
    if (kind === 44) return Buffer.from([next, 0, 0, 0, 1, 2, 3, random.between(0, 255)]);
    const units = kind === 60 ? random.between(0, 2) : 0; // of padding, a router takes no more than 7 bytes
    const padding = units * 8 + 6; // type 1, PadN: itself and its length are 2 bytes
    return Buffer.concat([Buffer.from([next, units, 1, padding - 2]), Buffer.alloc(padding - 2)]);
  });
  return { first: kinds[0] ?? protocol, bytes: Buffer.concat(headers) };
}

/** Neither TCP nor UDP, or not to be told: ICMP, unknown protocols, fragments, with options or extension headers. */
export function oddPacket(random: Random, family: Family, addresses: Addresses, largest: number): Made {
  const fields = ipFields(random, addresses);
  const room = largest - 40;
  const body = random.bytes(random.pick([0, 1, 8, 20, random.between(0, Math.min(room, 1300))]));
  const icmp = Buffer.concat([
    Buffer.from([random.pick([0, 3, 8, 11, 128, 129]), 0, 0, 0]),
    body.subarray(4),
  ]);
  const unknown = random.pick([2, 47, 50, 89, 132, 253]);
  if (family === 4) {
    switch (random.between(0, 3)) {
      case 0:
        return ipPacket({ ...fields, protocol: ICMP }, icmp);
      case 1:
        return ipPacket({ ...fields, protocol: unknown }, body);
      case 2:
        return ipPacket(
          { ...fields, protocol: random.pick([6, 17]), options: ipv4Options(random) },
          body.subarray(0, room - 40),
        );
      default: {
        const first = { ...fields, protocol: random.pick([6, 17, 1]), fragment: MORE_FRAGMENTS };
        const later = {
          ...first,
          fragment: random.between(1, 0x1fff) | (random.chance(0.5) ? MORE_FRAGMENTS : 0),
        };
        return ipPacket(random.chance(0.5) ? first : later, body.subarray(0, body.length & ~7));
      }
    }
  }
  switch (random.between(0, 2)) {
    case 0:
      return ipPacket({ ...fields, protocol: ICMPV6 }, icmp);
    case 1:
      return ipPacket({ ...fields, protocol: unknown }, body);
    default: {
      const protocol = random.pick([6, 17, 58, 253]);
      return ipPacket(
        { ...fields, protocol, extensions: ipv6Extensions(random, protocol) },
        body.subarray(0, Math.max(0, room - 64)),
      );
    }
  }
}
