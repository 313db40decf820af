import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatToken, type JoinToken, newSecret, newTokenId, parseToken } from '../../../src/enroll/token.ts';
import { usage } from '../config/resolve.ts';

const byte = fc.integer({ min: 0, max: 255 });
const bytes = (length: number) =>
  fc.array(byte, { minLength: length, maxLength: length }).map((list) => Buffer.from(list));
const address = fc.oneof(
  fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 65_535 })).map(([host, port]) => `${host}:${port}`),
  fc.constantFrom('[fd00::1]:2379', 'etcd.example.net:2379', 'h1:1'),
);
const token: fc.Arbitrary<JoinToken> = fc.record({
  caFingerprint: bytes(32).map((all) => (all.toString('hex').toUpperCase().match(/../g) ?? []).join(':')),
  id: bytes(5).map((all) => all.toString('hex')),
  secret: bytes(16).map((all) => all.toString('base64url')),
  endsAt: fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((seconds) => new Date(seconds * 1000)),
  addresses: fc.array(address, { minLength: 1, maxLength: 4 }),
});

const example = formatToken({
  caFingerprint: Array(32).fill('AB').join(':'),
  id: newTokenId(),
  secret: newSecret(),
  endsAt: new Date('2030-01-01T00:00:00Z'),
  addresses: ['192.168.56.11:2379'],
});

describe('a join token', () => {
  test('says what was put into it, and is one word that needs no quotes in a shell', () => {
    fc.assert(
      fc.property(token, (content) => {
        const word = formatToken(content);
        expect(parseToken(word)).toEqual(content);
        expect(word).toMatch(/^cdy1\.[A-Za-z0-9_-]+$/);
      }),
    );
  });

  test('survives the line breaks of a terminal', () => {
    const broken = ` ${example.slice(0, 40)}\r\n  ${example.slice(40)}\n`;
    expect(parseToken(broken)).toEqual(parseToken(example));
  });

  test('any changed, lost, doubled or added character is noticed', () => {
    const character = fc.constantFrom(...'ABCxyz019-_=.+/ é');
    fc.assert(
      fc.property(
        token,
        fc.nat(),
        character,
        fc.constantFrom('replace', 'drop', 'insert'),
        (content, at, by, how) => {
          const word = formatToken(content);
          const index = at % word.length;
          const rest = word.slice(how === 'insert' ? index : index + 1);
          const changed = word.slice(0, index) + (how === 'drop' ? '' : by) + rest;
          fc.pre(changed.replace(/\s/g, '') !== word);
          expect(() => parseToken(changed)).toThrow(usage(/^the join token /));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('cut short anywhere it is no token', () => {
    for (let length = 0; length < example.length; length++)
      expect(() => parseToken(example.slice(0, length))).toThrow(usage(/corduroy token create/));
  });

  test.each([
    ['', /is empty/],
    ['10.0.0.1:2379', /is none: one begins with "cdy1\."\. Copy/],
    [`${example}A`, /is not whole/],
    [example.replace('cdy1.', 'cdy2.'), /is of another version/],
  ])('%j: the message says what is wrong', (word, says) => {
    expect(() => parseToken(word)).toThrow(usage(says));
  });

  test('is not repeated by the message: it may be right but for one character', () => {
    const wrong = `${example.slice(0, -1)}${example.endsWith('A') ? 'B' : 'A'}`;
    expect(() => parseToken(wrong)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining(wrong.slice(10, 30)) }),
    );
  });
});
