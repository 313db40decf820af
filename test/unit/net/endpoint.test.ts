import { expect, test } from 'vitest';
import { formatEndpoint } from '../../../src/net/endpoint.ts';
import { Ip } from '../../../src/net/ip.ts';

test('an endpoint is written as people and programs write it', () => {
  expect(formatEndpoint({ address: Ip.parse('192.0.2.1'), port: 8285 })).toBe('192.0.2.1:8285');
  expect(formatEndpoint({ address: Ip.parse('2001:db8::1'), port: 8285 })).toBe('[2001:db8::1]:8285');
});
