import { uint16 } from './ip-packet.ts';

/** RFC 1071: the ones' complement of the ones' complement sum of 16-bit words; an odd last byte is padded with zero. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) sum += uint16(bytes, offset);
  return ~fold(sum) & 0xffff;
}

/**
 * The same, for every byte of every packet: adds the words of `start` … `end` to a sum that is neither folded nor
 * complemented. `start` is at an even offset of what is summed. A sum of 65 535 bytes takes less than 32 bits.
 */
export function addWords(sum: number, view: DataView, start: number, end: number): number {
  let total = sum;
  let offset = start;
  for (const last = end - 4; offset <= last; offset += 4) {
    const words = view.getUint32(offset);
    total += (words >>> 16) + (words & 0xffff);
  }
  if (offset + 2 <= end) {
    total += view.getUint16(offset);
    offset += 2;
  }
  return offset < end ? total + (view.getUint8(offset) << 8) : total;
}

/** A sum of less than 2^32 in 16 bits, carries added in again. The checksum is its complement. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
