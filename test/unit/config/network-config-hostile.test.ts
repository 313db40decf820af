import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatProblem, parseNetworkConfig } from '../../../src/config/network-config.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const KEYS = [
  'EnableIPv4',
  'EnableIPv6',
  'Network',
  'IPv6Network',
  'SubnetMin',
  'SubnetMax',
  'SubnetLen',
  'IPv6SubnetLen',
  'IPv6SubnetMin',
  'IPv6SubnetMax',
  'Backend',
  '__proto__',
  'constructor',
];
const plausible = fc.constantFrom<unknown>(
  true,
  '10.5.0.0/16',
  '10.5.0.0/28',
  'fd00::/48',
  'fd00::/124',
  '0.0.0.0/0',
  '::/0',
  '10.5.1.0',
  '255.255.255.255',
  'fd00::4',
  24,
  30,
  64,
  126,
  Number.MAX_VALUE,
);
const document = fc
  .dictionary(fc.constantFrom(...KEYS), fc.oneof({ weight: 3, arbitrary: plausible }, fc.jsonValue()))
  .map((content) => JSON.stringify(content));

/** A value, or else problems; and either way something that can be shown. */
function examine(text: string): void {
  const { value, problems } = parseNetworkConfig(text);
  expect(value === undefined).toBe(problems.length > 0);
  for (const line of problems.map(formatProblem)) expect(line.length).toBeLessThan(400);
  for (const { network, subnetMin, subnetMax, subnetLen } of value?.ranges ?? []) {
    const [first, last] = [Prefix.of(subnetMin, subnetLen), Prefix.of(subnetMax, subnetLen)];
    expect([first.address, last.address]).toEqual([subnetMin, subnetMax]);
    expect(network.covers(first) && network.covers(last) && subnetMin.value <= subnetMax.value).toBe(true);
    expect(subnetLen).toBeGreaterThanOrEqual(network.length + 2);
  }
}

describe('a hostile document', () => {
  test('that is nearly right', () => fc.assert(fc.property(document, examine), { numRuns: 2000 }));
  test('that is any JSON', () => fc.assert(fc.property(fc.json(), examine)));
  test('that is any text', () => fc.assert(fc.property(fc.string({ unit: 'binary' }), examine)));

  test.each([
    'null',
    '[]',
    '[{"Network": "10.5.0.0/16"}]',
    '"10.5.0.0/16"',
    '1e999',
    'true',
    '',
    '{',
    '\u0000',
  ])('%s has a problem that names the document', (text) => {
    const { problems, value } = parseNetworkConfig(text);
    expect(problems.map(({ key }) => key)).toEqual(['the document']);
    expect(value).toBeUndefined();
  });

  const deep = '['.repeat(200_000) + ']'.repeat(200_000);
  test.each([
    ['a key', `{"Network": ${deep}}`, 'Network'],
    ['the document', deep, 'the document'],
    ['the backend', `{"Network": "10.5.0.0/16", "Backend": ${deep}}`, 'Backend'],
  ])('nested very deeply: %s', (_what, text, key) => {
    const { problems } = parseNetworkConfig(text);
    expect(problems.map(formatProblem)).toEqual([expect.stringMatching(new RegExp(`^${key}`))]);
  });

  test.each([
    ['a long value', JSON.stringify({ Network: 'x'.repeat(100_000) })],
    ['a long text that is no JSON', 'x'.repeat(100_000)],
    ['several lines', JSON.stringify({ Network: 'first\nsecond' })],
    ['several lines that are no JSON', '{\n"Network":\n x}'],
    ['control characters', JSON.stringify({ Network: '\u001b[2J' })],
    ['those of Latin-1, which some terminals obey too', JSON.stringify({ Network: '\u009b2J\u007f' })],
  ])('%s: the problem is one short line without control characters', (_what, text) => {
    const [line = ''] = parseNetworkConfig(text).problems.map(formatProblem);
    expect(line.length).toBeLessThan(400);
    expect(line).toMatch(/^[^\p{Cc}]+$/u);
  });
});

test.each([
  ['{"Network": "10.5.0.0/16", "Backend": {"Type": "wireguard", "PSK": s3cret}}'],
  ['{"Network": "10.5.0.0/16", "Backend": {"psk": "s3cret"}'],
  ['{"Network": "10.5.0.0/16", "Backend": [{"Psk": "s3cret"}]}'],
  ['{"Network": "10.5.0.0/16", "Backend": "wireguard PSK=s3cret"}'],
  [JSON.stringify('{"Network": "10.5.0.0/16", "Backend": {"PSK": "s3cret"}}')],
])('a pre-shared key is in no message: %s', (text) => {
  const { problems } = parseNetworkConfig(text);
  expect(problems).toHaveLength(1);
  expect(problems.map(formatProblem).join()).not.toContain('s3cret');
});
