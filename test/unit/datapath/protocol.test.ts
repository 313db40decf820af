import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeFrame,
  FRAME_MAX,
  type Frame,
  FrameReader,
  PROTOCOL_VERSION,
} from '../../../src/datapath/protocol.ts';
import { isCode } from '../../../src/errors.ts';

const message = fc.record({
  type: fc.nat(255),
  id: fc.nat(65_535),
  payload: fc.uint8Array({ maxLength: 300 }),
});

/** Cuts the bytes at the given places. */
function chunksOf(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

describe('frames', () => {
  test('a frame has the bytes of the diagram', () => {
    const frame = encodeFrame(5, 0x1234, Uint8Array.of(0xaa));
    expect(Buffer.from(frame).toString('hex')).toBe('00000005' + '02' + '05' + '1234' + 'aa');
    expect(PROTOCOL_VERSION).toBe(2);
  });

  test('come back the same, however the stream was cut', () => {
    fc.assert(
      fc.property(fc.array(message), fc.array(fc.nat(), { maxLength: 20 }), (messages, cuts) => {
        const stream = Buffer.concat(messages.map(({ type, id, payload }) => encodeFrame(type, id, payload)));
        const reader = new FrameReader();
        const frames = chunksOf(stream, cuts).flatMap((chunk): Frame[] => [...reader.push(chunk)]);
        expect(frames.map(({ payload, ...rest }) => ({ ...rest, payload: [...payload] }))).toEqual(
          messages.map(({ payload, ...rest }) => ({
            version: PROTOCOL_VERSION,
            ...rest,
            payload: [...payload],
          })),
        );
      }),
    );
  });

  test('garbage is malformed, or an unfinished frame, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
        const reader = new FrameReader();
        try {
          for (const chunk of chunks) for (const _frame of reader.push(chunk));
        } catch (error) {
          expect(isCode(error, 'malformed')).toBe(true);
        }
      }),
    );
  });

  test.each([0, 3, FRAME_MAX + 1, 0xffff_ffff])('a length of %i is refused at once', (length) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    expect(() => [...new FrameReader().push(bytes)]).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('the largest frame passes; a larger one cannot be made', () => {
    const largest = encodeFrame(3, 1, Buffer.alloc(FRAME_MAX - 4));
    const reader = new FrameReader();
    const frames = chunksOf(
      largest,
      Array.from({ length: 200 }, (_, index) => index * 80_000),
    ).flatMap((chunk) => [...reader.push(chunk)]);
    expect(frames).toMatchObject([{ type: 3, id: 1 }]);
    expect(() => encodeFrame(3, 1, Buffer.alloc(FRAME_MAX - 3))).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
  });
});
