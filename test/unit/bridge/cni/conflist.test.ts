import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { authorOf, type ConflistContent, formatConflist } from '../../../../src/bridge/cni/conflist.ts';
import { Prefix } from '../../../../src/net/prefix.ts';

const prefixes = (...texts: string[]) => texts.map((text) => Prefix.parse(text));
const CONTENT: ConflistContent = {
  network: 'corduroy',
  bridge: 'corduroy-cni',
  subnets: prefixes('10.5.72.0/24'),
  mtu: 1472,
};

describe('what the plugins are told', () => {
  test('a bridge with the subnet and the MTU, nothing masqueraded, ports published', () => {
    const { corduroy, ...document } = JSON.parse(formatConflist(CONTENT));
    expect(document).toEqual({
      cniVersion: '0.4.0',
      name: 'corduroy',
      plugins: [
        {
          type: 'bridge',
          bridge: 'corduroy-cni',
          isGateway: true,
          ipMasq: false,
          hairpinMode: true,
          mtu: 1472,
          ipam: {
            type: 'host-local',
            dataDir: '/run/cni/corduroy',
            ranges: [[{ subnet: '10.5.72.0/24', gateway: '10.5.72.1' }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    });
    expect(corduroy).toEqual({ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  test('a range and a default route for each family', () => {
    const subnets = prefixes('10.5.72.0/24', 'fd00:0:0:13::/64');
    const { ipam } = JSON.parse(formatConflist({ ...CONTENT, subnets })).plugins[0];
    expect(ipam.ranges).toEqual([
      [{ subnet: '10.5.72.0/24', gateway: '10.5.72.1' }],
      [{ subnet: 'fd00:0:0:13::/64', gateway: 'fd00:0:0:13::1' }],
    ]);
    expect(ipam.routes).toEqual([{ dst: '0.0.0.0/0' }, { dst: '::/0' }]);
  });
});

describe('who wrote a file', () => {
  test('Corduroy, with whatever spaces', () => {
    const text = formatConflist(CONTENT);
    expect(authorOf(text)).toBe('corduroy');
    expect(authorOf(JSON.stringify(JSON.parse(text)))).toBe('corduroy');
    expect(authorOf(text.replaceAll('\n', '\r\n'))).toBe('corduroy');
  });

  test('Corduroy and then somebody else, whatever was changed', () => {
    const text = formatConflist(CONTENT);
    // Every value and every key beside the mark.
    const places = [...text.slice(0, text.indexOf('"corduroy": {')).matchAll(/[A-Za-z0-9]/g)];
    expect(places.length).toBeGreaterThan(100);
    for (const { index } of places) {
      const changed = text[index] === '7' ? '8' : '7';
      const edited = `${text.slice(0, index)}${changed}${text.slice(index + 1)}`;
      // Half a word such as `7rue` is no JSON, and so not recognised at all.
      expect(authorOf(edited), edited).toMatch(isJson(edited) ? /^changed$/ : /^other$/);
    }
    const more = { ...JSON.parse(text), disableCheck: true };
    expect(authorOf(JSON.stringify(more))).toBe('changed');
  });

  test.each([
    ['another conflist', '{"cniVersion": "1.0.0", "name": "bridge", "nerdctlID": "17f2", "plugins": []}'],
    ['an empty file', ''],
    ['no JSON', '{'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a text', '"corduroy"'],
    ['a mark of another form', '{"corduroy": "sha256"}'],
    ['a mark of nothing', '{"corduroy": null}'],
  ])('somebody else: %s', (_what, text) => {
    expect(authorOf(text)).toBe('other');
  });

  test('no text whatsoever is an error, and none but its own is taken for its own', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (text) => {
        expect(authorOf(text)).toBe('other');
      }),
    );
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
