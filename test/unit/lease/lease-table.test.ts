import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatLeaseValue } from '../../../src/lease/lease-record.ts';
import { LeaseTable } from '../../../src/lease/lease-table.ts';
import { selectPeers } from '../../../src/lease/peers.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { attributes, entry, FOUR, PREFIX, value } from './fixtures.ts';

const namesOf = (table: LeaseTable) => table.leases().map(({ subnets }) => subnets.join(' '));

describe('LeaseTable', () => {
  test('holds what the snapshot has and what the deltas made of it', () => {
    const first = entry('10.5.1.0-24', value('192.0.2.1'));
    const table = new LeaseTable(PREFIX, [first, entry('10.5.2.0-24', value('192.0.2.2'))]);
    expect(namesOf(table)).toEqual(['10.5.1.0/24', '10.5.2.0/24']);
    table.apply([
      { kind: 'delete', key: first.key, modRevision: 3n },
      { kind: 'put', entry: entry('10.5.3.0-24', value('192.0.2.3'), 4) },
      { kind: 'put', entry: entry('10.5.2.0-24', value('192.0.2.9'), 5) },
      { kind: 'delete', key: `${PREFIX}/subnets/10.5.9.0-24`, modRevision: 6n },
    ]);
    expect(namesOf(table)).toEqual(['10.5.2.0/24', '10.5.3.0/24']);
    expect(table.get(`${PREFIX}/subnets/10.5.2.0-24`)).toMatchObject({ attributes: attributes('192.0.2.9') });
    table.replace([first]);
    expect(namesOf(table)).toEqual(['10.5.1.0/24']);
  });

  test('a subnet is contested while several leases name it', () => {
    const single = entry('10.5.1.0-24', value('192.0.2.1'));
    const dual = entry('10.5.1.0-24&fd00:0:0:1::-64', value('192.0.2.2'), 2);
    const table = new LeaseTable(PREFIX, [single, dual]);
    const contested = () =>
      ['10.5.1.0/24', 'fd00:0:0:1::/64'].map((text) => table.isContested(Prefix.parse(text)));
    expect(contested()).toEqual([true, false]);
    table.apply([{ kind: 'put', entry: { ...dual, value: 'rubbish' } }]);
    expect(contested()).toEqual([false, false]);
    table.apply([{ kind: 'put', entry: dual }]);
    table.apply([{ kind: 'delete', key: single.key, modRevision: 5n }]);
    expect(contested()).toEqual([false, false]);
    table.replace([single]);
    table.replace([single, dual]);
    expect(contested()).toEqual([true, false]);
  });

  test('keys beside the leases are none of its business', () => {
    const config = { ...entry('x', '{}'), key: `${PREFIX}/config` };
    const beside = { ...entry('x', '{}'), key: `${PREFIX}/corduroy/10.5.1.0-24` };
    const table = new LeaseTable(PREFIX, [config, beside]);
    expect([table.leases(), table.rejected()]).toEqual([[], []]);
  });

  test('what is malformed is kept with the reason, until it is mended', () => {
    const table = new LeaseTable(PREFIX, [
      entry('10.5.1.0-24', 'rubbish'),
      entry('rubbish', value('192.0.2.1')),
      entry('10.5.2.0-24&fd00::-64', '{}'),
    ]);
    expect(table.leases()).toEqual([]);
    expect(table.rejected().map(({ entry: { key }, reason }) => `${key}: ${reason}`)).toEqual([
      '/net/subnets/10.5.1.0-24: the value is not JSON',
      '/net/subnets/rubbish: the key does not have the form ADDRESS-LENGTH, such as 10.5.34.0-24',
      '/net/subnets/10.5.2.0-24&fd00::-64: the value has neither PublicIP nor PublicIPv6',
    ]);
    expect(table.namedByRejected().map(String)).toEqual(['10.5.1.0/24', '10.5.2.0/24', 'fd00::/64']);
    table.apply([{ kind: 'put', entry: entry('10.5.1.0-24', value('192.0.2.1'), 2) }]);
    expect(namesOf(table)).toEqual(['10.5.1.0/24']);
    expect(table.rejected()).toHaveLength(2);
  });

  test("a reservation that is nobody's is taken, and no peer; with a time to live it would be malformed", () => {
    const nobodys = '{"PublicIP":"0.0.0.0","PublicIPv6":null}';
    const table = new LeaseTable(PREFIX, [
      entry('10.5.1.0-24', nobodys, 1, null),
      entry('10.5.2.0-24', nobodys, 2),
      entry('10.5.3.0-24', '{}', 3, null),
    ]);
    expect(namesOf(table)).toEqual(['10.5.1.0/24']);
    expect(table.rejected().map(({ reason }) => reason)).toEqual([
      'the value has neither PublicIP nor PublicIPv6',
      'the value has neither PublicIP nor PublicIPv6',
    ]);
    const { peers, rejected } = selectPeers(table, FOUR, { key: '', subnets: [], publicIps: [] });
    expect(peers).toEqual([]);
    expect(rejected.map(({ entry: { key } }) => key)).toEqual(
      table.rejected().map(({ entry: { key } }) => key),
    );
  });

  test('hostile keys and values: each is a lease or has a reason, one short line', {
    timeout: 30_000,
  }, () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^[0-9.:a-f&-]{0,40}$/),
      fc.stringMatching(/^10\.5\.\d{1,3}\.0-24(&fd00::-64)?$/),
    );
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.json());
    fc.assert(
      fc.property(fc.uniqueArray(name), fc.array(text, { minLength: 1 }), (names, texts) => {
        const entries = names.map((one, index) => entry(one, texts[index % texts.length] ?? ''));
        const table = new LeaseTable(PREFIX, entries);
        expect(table.leases().length + table.rejected().length).toBe(names.length);
        const self = { key: '', subnets: [], publicIps: [] };
        const { peers, rejected } = selectPeers(table, FOUR, self);
        expect(peers.length + rejected.length).toBe(names.length);
        for (const { reason } of rejected) expect(reason).toMatch(/^[^\p{Cc}]{10,300}$/u);
      }),
      { numRuns: 300 },
    );
  });

  test('a key as long as a book has a short reason', () => {
    const [rejected] = new LeaseTable(PREFIX, [entry(`${'9'.repeat(10_000)}.5.1.0-24`, '{}')]).rejected();
    expect(rejected?.reason.length).toBeLessThan(300);
  });

  test('a value nested very deeply can be shown, or is rejected', () => {
    const deep = `{"PublicIP":"192.0.2.2","BackendData":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    const table = new LeaseTable(PREFIX, [entry('10.5.1.0-24', deep)]);
    expect(table.leases().length + table.rejected().length).toBe(1);
    expect(() => table.leases().map(({ attributes: shown }) => formatLeaseValue(shown))).not.toThrow();
  });
});
