import { describe, expect, test } from 'vitest';
import { NetworkView } from '../../../src/daemon/network-view.ts';
import type { Entry } from '../../../src/store/store.ts';
import { CONFIG_KEY, entry, PREFIX, value } from '../lease/fixtures.ts';

const config = (document: object | string, revision = 1): Entry => ({
  ...entry('', typeof document === 'string' ? document : JSON.stringify(document), revision, null),
  key: CONFIG_KEY,
});
const GOOD = { Network: '10.5.0.0/16' };

function viewOf(...entries: Entry[]): NetworkView {
  const view = new NetworkView(PREFIX);
  view.apply({ kind: 'snapshot', revision: 9n, entries });
  return view;
}
const networksOf = (view: NetworkView) =>
  view.config.usable?.network.ranges.map(({ network }) => String(network));
const leasesOf = (view: NetworkView) => view.cluster.leases.leases().map(({ subnets }) => subnets.join(' '));

describe('NetworkView', () => {
  test('knows nothing before the first snapshot', () => {
    const view = new NetworkView(PREFIX);
    expect([view.complete, view.config.usable, leasesOf(view)]).toEqual([false, undefined, []]);
    view.apply({ kind: 'interrupted', error: new Error('away') });
    expect([view.complete, view.fault?.message]).toEqual([false, 'away']);
  });

  test('a snapshot: config and leases, and what is beside them is nothing', () => {
    const beside = { ...entry('', '{}'), key: `${PREFIX}/corduroy/x` };
    const view = viewOf(config(GOOD, 4), beside, entry('10.5.2.0-24', value('192.0.2.2')));
    expect([view.complete, networksOf(view), leasesOf(view)]).toEqual([
      true,
      ['10.5.0.0/16'],
      ['10.5.2.0/24'],
    ]);
    expect(view.config).toMatchObject({ objection: undefined, usable: { revision: 4n } });
    expect(view.cluster.leases.rejected()).toEqual([]);
  });

  test('deltas change what they name', () => {
    const view = viewOf(config(GOOD), entry('10.5.2.0-24', value('192.0.2.2')));
    const before = view.config.usable;
    view.apply({
      kind: 'delta',
      revision: 10n,
      changes: [
        { kind: 'put', entry: entry('10.5.3.0-24', value('192.0.2.3'), 10) },
        { kind: 'delete', key: `${PREFIX}/subnets/10.5.2.0-24`, modRevision: 10n },
      ],
    });
    expect(leasesOf(view)).toEqual(['10.5.3.0/24']);
    expect(view.config.usable).toBe(before);
    view.apply({
      kind: 'delta',
      revision: 11n,
      changes: [{ kind: 'put', entry: config({ Network: '10.6.0.0/16' }, 11) }],
    });
    expect(networksOf(view)).toEqual(['10.6.0.0/16']);
    view.apply({
      kind: 'delta',
      revision: 12n,
      changes: [{ kind: 'delete', key: CONFIG_KEY, modRevision: 12n }],
    });
    expect(view.config).toMatchObject({
      usable: undefined,
      objection: expect.stringContaining('there is no network config'),
    });
  });

  test('an interruption: what is known stays, until a snapshot says otherwise', () => {
    const view = viewOf(config(GOOD), entry('10.5.2.0-24', value('192.0.2.2')));
    const before = view.config.usable;
    view.apply({ kind: 'interrupted', error: new Error('away') });
    expect([view.complete, view.fault?.message, leasesOf(view)]).toEqual([true, 'away', ['10.5.2.0/24']]);
    view.apply({ kind: 'snapshot', revision: 20n, entries: [config(GOOD)] });
    expect([view.fault, leasesOf(view)]).toEqual([undefined, []]);
    // The same document of the same revision: nothing that hangs on it has to be made anew.
    expect(view.config.usable).toBe(before);
    view.apply({ kind: 'snapshot', revision: 21n, entries: [config({ Network: '10.6.0.0/16' }, 21)] });
    expect(networksOf(view)).toEqual(['10.6.0.0/16']);
    view.apply({ kind: 'snapshot', revision: 22n, entries: [] });
    expect(view.config.usable).toBeUndefined();
  });

  test('what was remembered counts until etcd has spoken in full', () => {
    const view = new NetworkView(PREFIX);
    const savedAt = new Date(0);
    view.restore({
      savedAt,
      nodeId: '',
      hardware: '',
      prefix: PREFIX,
      revision: 7n,
      subnets: [],
      entries: [config(GOOD), entry('10.5.2.0-24', value('192.0.2.2'))],
    });
    const whole = () => [view.complete, view.remembered, networksOf(view), leasesOf(view)];
    expect(whole()).toEqual([true, savedAt, ['10.5.0.0/16'], ['10.5.2.0/24']]);
    view.apply({ kind: 'interrupted', error: new Error('away') });
    expect(whole()).toEqual([true, savedAt, ['10.5.0.0/16'], ['10.5.2.0/24']]);
    view.apply({ kind: 'snapshot', revision: 9n, entries: [config(GOOD)] });
    expect(whole()).toEqual([true, undefined, ['10.5.0.0/16'], []]);
  });

  test('what is worth remembering: everything as it is now, but the questions of the moment', () => {
    const question = { ...entry('', ''), key: `${PREFIX}/corduroy/challenges/x/y` };
    const record = { ...entry('', '{}'), key: `${PREFIX}/corduroy/nodes/x` };
    const view = viewOf(config(GOOD), question, record, entry('10.5.2.0-24', value('192.0.2.2')));
    const third = entry('10.5.3.0-24', 'rubbish', 10);
    view.apply({
      kind: 'delta',
      revision: 10n,
      changes: [
        { kind: 'put', entry: third },
        { kind: 'delete', key: `${PREFIX}/subnets/10.5.2.0-24`, modRevision: 10n },
      ],
    });
    expect(view.cluster.entries()).toEqual([config(GOOD), record, third]);
  });

  test('after etcd was restored from a backup, revisions may go back', () => {
    const view = viewOf(config(GOOD, 50));
    view.apply({ kind: 'snapshot', revision: 9n, entries: [config({ Network: '10.6.0.0/16' }, 9)] });
    expect(networksOf(view)).toEqual(['10.6.0.0/16']);
  });

  test.each<[string, Entry[], RegExp]>([
    ['none', [], /^there is no network config under \/net\/config: write one with: corduroy config set '\{/],
    [
      'no JSON',
      [config('{')],
      /^the network config under \/net\/config is not valid: the document .*Mend it with: corduroy/,
    ],
    ['a rule broken', [config({})], /is not valid: Network is missing/],
    [
      'two rules broken',
      [config({ ...GOOD, SubnetMin: 'x', SubnetMax: 'y' })],
      /SubnetMin is .*; SubnetMax is /,
    ],
    [
      'another backend',
      [config({ ...GOOD, Backend: { Type: 'gre' } })],
      /Backend\.Type is "gre": has to be one of udp/,
    ],
    ['a backend option', [config({ ...GOOD, Backend: { Port: 0 } })], /Backend\.Port is 0/],
    [
      'another family',
      [config({ ...GOOD, EnableIPv6: true, IPv6Network: 'fd00::/48', Backend: { Type: 'ipip' } })],
      /EnableIPv6 is true: .* does not carry IPv6/,
    ],
    [
      'nested very deeply',
      [config(`{"Network": ${'['.repeat(200_000)}${']'.repeat(200_000)}}`)],
      /Network is /,
    ],
  ])('a network config that cannot be used: %s', (_what, entries, says) => {
    const view = viewOf(...entries);
    expect(view.config.usable).toBeUndefined();
    expect(view.config.objection).toMatch(says);
  });

  test('keys that mean nothing are named, of the network and of the backend', () => {
    const document = { ...GOOD, Colour: 1, Backend: { Type: 'udp', VNI: 1 } };
    expect(viewOf(config(document)).config).toMatchObject({
      objection: undefined,
      unknownKeys: ['Colour', 'Backend.VNI'],
    });
  });
});
