import { describe, expect, test } from 'vitest';
import { openBackend, problemsOf } from './fixtures.ts';

describe('Backend.Type', () => {
  test('udp where none is given; in any case', () => {
    expect(openBackend().type).toBe('udp');
    expect(openBackend({ type: 'VXLAN' }).type).toBe('vxlan');
  });

  test('one that does not exist: those that do', () => {
    expect(problemsOf({ Type: 'gre' })).toEqual([
      expect.stringMatching(/^Backend\.Type is "gre": has to be one of udp, vxlan, host-gw, ipip, /),
    ]);
  });

  test('an object in its place', () => {
    expect(problemsOf({ Type: 'constructor' })).toEqual([expect.stringMatching(/has to be one of/)]);
  });

  test.each([['ipsec'], ['IPsec']])('%s, which flannel has: what encrypts here', (type) => {
    expect(problemsOf({ Type: type })).toEqual([expect.stringMatching(/no IPsec: wireguard encrypts/)]);
  });

  test.each([['aws-vpc'], ['gce'], ['ali-vpc'], ['tencent-vpc']])(
    "%s, a cloud's: what works there",
    (type) => {
      expect(problemsOf({ Type: type })).toEqual([
        expect.stringMatching(
          new RegExp(`^Backend\\.Type is "${type}": .* cloud's own routing tables.* vxlan `),
        ),
      ]);
    },
  );
});
