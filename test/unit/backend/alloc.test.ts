import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { check, DUAL, DUAL_IFACE, inputWith, openBackend, V4, V6_ONLY } from './fixtures.ts';
import { linesOf } from './format-state.ts';

test.each<[string, object, string]>([
  ['IPv4', V4, '{"PublicIP":"192.0.2.5","PublicIPv6":null}'],
  ['both families', DUAL, '{"PublicIP":"192.0.2.5","PublicIPv6":"2001:db8::5"}'],
  ['IPv6 only', V6_ONLY, '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::5"}'],
])('the lease has no BackendType, as with flanneld: %s', (_what, over, expected) => {
  const { attributes } = openBackend({ Type: 'alloc' }, { over, iface: DUAL_IFACE });
  expect(formatLeaseValue(attributes)).toBe(expected);
});

test('nothing on the host, whatever the others are; packets as large as the interface takes', () => {
  const backend = openBackend({ Type: 'alloc' });
  const input = inputWith({
    '10.5.2.0-24': { PublicIP: '192.0.2.2' },
    '10.5.3.0-24': { PublicIP: '192.0.2.3', BackendType: 'vxlan' },
  });
  expect(linesOf(backend.desired(input))).toEqual([]);
  expect(backend.desired(input).datapath).toBeUndefined();
  expect(input.peers.map(backend.objectionTo)).toEqual([undefined, undefined]);
  expect(backend.mtu).toBe(1500);
});

test('it has no option: what stands there is named', () => {
  expect(check({ Type: 'alloc', Port: 1 })).toMatchObject({ problems: [], unknownKeys: ['Backend.Port'] });
});

test('docs/backends.md shows it whole, as it is', () => {
  const source = readFileSync('src/backend/alloc/alloc.ts', 'utf8');
  const code = source.slice(source.indexOf('export const alloc'));
  expect(readFileSync('docs/backends.md', 'utf8')).toContain(`\`\`\`ts\n${code}\`\`\`\n`);
});
