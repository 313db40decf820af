import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { setMembers } from '../../../../src/bridge/docker/json-text.ts';

describe('members of a JSON object are set in its text', () => {
  test.each([
    ['an empty object', '{}', { bip: 'x' }, '{\n  "bip": "x"\n}'],
    [
      'the last one is followed',
      '{\n    "dns": ["1.1.1.1"]\n}\n',
      { mtu: 1472 },
      '{\n    "dns": ["1.1.1.1"],\n    "mtu": 1472\n}\n',
    ],
    ['on one line', '{ "debug": true }', { mtu: 1 }, '{ "debug": true, "mtu": 1 }'],
    ['in its place', '{"bip": "a", "debug":  true}', { bip: 'b' }, '{"bip": "b", "debug":  true}'],
    ['one that others begin like', '{"mtu2": 1, "mtu": 2}', { mtu: 3 }, '{"mtu2": 1, "mtu": 3}'],
    ['not the one within', '{"a": {"mtu": 1}, "mtu": 2}', { mtu: 3 }, '{"a": {"mtu": 1}, "mtu": 3}'],
    ['not a value that reads like one', '{"a": "mtu", "mtu": 2}', { mtu: 3 }, '{"a": "mtu", "mtu": 3}'],
    [
      'brackets and quotes in strings',
      '{"a\\"{": "}],\\"", "mtu": 2}',
      { mtu: 3 },
      '{"a\\"{": "}],\\"", "mtu": 3}',
    ],
    ['of two the one that counts', '{"mtu": 1, "mtu": 2}', { mtu: 3 }, '{"mtu": 1, "mtu": 3}'],
    ['the first removed', '{\n  "mtu": 1,\n  "a": 2\n}', { mtu: undefined }, '{\n  "a": 2\n}'],
    ['the last removed', '{\n  "a": 2,\n  "mtu": 1\n}', { mtu: undefined }, '{\n  "a": 2\n}'],
    ['the only one removed', '{\n  "mtu": 1\n}', { mtu: undefined }, '{\n}'],
    [
      'one that is not there removed',
      '{ "a": 12345678901234567890 }',
      { mtu: undefined },
      '{ "a": 12345678901234567890 }',
    ],
  ])('%s', (_what, text, changes, expected) => {
    expect(setMembers(text, changes)).toBe(expected);
  });

  const space = fc.constantFrom('', ' ', '\n', '\n\t', '  ');
  const objects = fc
    .array(
      fc.tuple(
        fc.string().filter((key) => key !== 'bip'),
        fc.jsonValue(),
        space,
        space,
        space,
      ),
      { maxLength: 6 },
    )
    .map((members) =>
      members
        .map(([key, value, a, b, c]) => `${a}${JSON.stringify(key)}${b}:${c}${JSON.stringify(value)}${b}`)
        .join(','),
    )
    .map((inside) => `{${inside}}\n`);

  test('whatever the text: the member is there, the others are as they were, and removing it gives the text back', () => {
    fc.assert(
      fc.property(objects, fc.jsonValue(), (text, value) => {
        const changed = setMembers(text, { bip: value });
        const expected = { ...JSON.parse(text), bip: value };
        expect(JSON.parse(changed)).toEqual(JSON.parse(JSON.stringify(expected)));
        const back = setMembers(changed, { bip: undefined });
        if (Object.keys(JSON.parse(text)).length > 0) expect(back).toBe(text);
        else expect(JSON.parse(back)).toEqual({});
      }),
    );
  });
});
