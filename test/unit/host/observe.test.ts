import { expect, test } from 'vitest';
import { addressesOf, observedLink } from '../../../src/host/observe.ts';
import { formatInterfaceAddress } from '../../../src/host/state.ts';

test('the addresses of a link as ip shows it, without link-local ones', () => {
  const record = {
    ifname: 'eth0',
    flags: ['UP'],
    mtu: 1500,
    addr_info: [
      { family: 'inet', local: '10.0.0.5', prefixlen: 24, scope: 'global' },
      { family: 'inet', local: '127.0.0.1', prefixlen: 8, scope: 'host' },
      { family: 'inet6', local: 'fd00::5', prefixlen: 64, scope: 'global' },
      { family: 'inet6', local: 'fe80::5', prefixlen: 64, scope: 'link' },
      { prefixlen: 0, scope: 'global' },
    ],
  };
  expect(addressesOf(record).map(formatInterfaceAddress)).toEqual([
    '10.0.0.5/24',
    '127.0.0.1/8',
    'fd00::5/64',
  ]);
  expect(addressesOf({ ifname: 'eth0', flags: [], mtu: 1500 })).toEqual([]);
});

test.each([
  ['a tun of one queue', { info_kind: 'tun', info_data: { multi_queue: false } }, 'tun', false],
  ['a tun of several', { info_kind: 'tun', info_data: { multi_queue: true, numqueues: 0 } }, 'tun', true],
  ['a bridge', { info_kind: 'bridge' }, 'bridge', false],
  ['a card', undefined, '', false],
])('the kind of a link: %s', (_what, linkinfo, kind, multiQueue) => {
  const record = { ifname: 'x0', flags: [], mtu: 1500, ...(linkinfo && { linkinfo }) };
  expect(observedLink(record)).toMatchObject({ kind, multiQueue });
});
