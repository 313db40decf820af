import { describe, expect, it } from 'vitest';
import { ownerOf } from './faults.ts';
import { excuseFor, heldByAnother, overlaps, overlapsIn, subnetChanges } from './invariants.ts';

const h1 = { name: 'h1', subnet: '10.244.1.0/24' };
const h2 = { name: 'h2', subnet: '10.244.2.0/24' };
const lease = (subnet: string, publicIp: string) => ({ subnet, publicIp });

describe('what must never be', () => {
  it('is two hosts with subnets that overlap, of whatever lengths', () => {
    expect(overlaps([h1, h2])).toEqual([]);
    expect(overlaps([h1, h2, { name: 'h3', subnet: '10.244.1.0/24' }])).toMatchObject([
      { hosts: ['h1', 'h3'] },
    ]);
    expect(overlaps([h1, { name: 'h3', subnet: '10.244.0.0/20' }])).toHaveLength(1);
    expect(
      overlapsIn([lease('10.244.1.0/24', '192.0.2.1'), lease('10.244.1.128/25', '192.0.2.2')]),
    ).toHaveLength(1);
  });

  it("is a subnet in use that is another host's in etcd, and not one of the host's earlier addresses", () => {
    expect(heldByAnother([lease(h1.subnet, '192.0.2.2')], [h1], ownerOf)).toMatchObject([
      { hosts: ['h1', 'h2'] },
    ]);
    expect(heldByAnother([lease(h1.subnet, '192.0.2.41')], [h1], ownerOf)).toEqual([]);
  });

  it('is a subnet that changes though nobody took it', () => {
    const before = new Map([['h1', h1.subnet]]);
    const moved = [{ name: 'h1', subnet: '10.244.9.0/24' }];
    const [mine, taken] = [[lease(h1.subnet, '192.0.2.1')], [lease(h1.subnet, '192.0.2.22')]];
    expect(subnetChanges(before, [h1], [], ownerOf)).toEqual([]);
    expect(subnetChanges(before, moved, [mine], ownerOf)).toMatchObject([{ hosts: ['h1'] }]);
    expect(subnetChanges(before, moved, [mine, taken], ownerOf)).toEqual([]);
  });

  it('is loss that nothing excuses: of other hosts, or that begins before or ends after', () => {
    const outage = { from: 'h1', to: 'h2', firstAt: 1000, lastAt: 2000, lost: 20 };
    const excuse = { kind: 'address-changed', host: 'h2', from: 900 };
    expect(excuseFor(outage, [excuse])).toBe(excuse);
    expect(excuseFor(outage, [{ ...excuse, until: 1999 }])).toBeUndefined();
    expect(excuseFor(outage, [{ ...excuse, from: 1001 }])).toBeUndefined();
    expect(excuseFor(outage, [{ ...excuse, host: 'h3' }])).toBeUndefined();
  });
});
