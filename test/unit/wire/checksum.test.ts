import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addWords, fold, internetChecksum, viewOf } from '../../../src/wire/checksum.ts';

test('internetChecksum: the example of RFC 1071, and an odd byte', () => {
  expect(internetChecksum(Buffer.from('0001f203f4f5f6f7', 'hex'))).toBe(~0xddf2 & 0xffff);
  expect(internetChecksum(Uint8Array.of(0x12))).toBe(~0x1200 & 0xffff);
});

test('addWords is the same, faster: of any piece, and of pieces one after the other', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(150), (bytes, from, middle) => {
      const start = Math.min(from, bytes.length);
      const between = Math.min(start + 2 * middle, bytes.length);
      const sum = addWords(addWords(0, viewOf(bytes), start, between), viewOf(bytes), between, bytes.length);
      expect(~fold(sum) & 0xffff).toBe(internetChecksum(bytes.subarray(start)));
    }),
  );
  const ones = new Uint8Array(65_535).fill(0xff);
  expect(~fold(addWords(0xffff * 4, viewOf(ones), 0, ones.length)) & 0xffff).toBe(internetChecksum(ones));
});
