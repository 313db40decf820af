import { describe, expect, test } from 'vitest';
import { decideSet } from '../../../src/cli/config/set.ts';
import { forcedConfigKey, isForcedConfig } from '../../../src/lease/forced-config.ts';
import { Administered } from '../lease/administered.ts';
import { CONFIG_KEY, PREFIX, rangesOf, value } from '../lease/fixtures.ts';

const HALF = { Network: '10.5.0.0/17' };
const HALF_RANGES = rangesOf(HALF);

/** h1 and h2 run corduroyd, 192.0.2.9 flanneld; 10.5.100.0/24 is kept free. */
async function cluster(config: object = HALF): Promise<Administered> {
  const net = await Administered.create({ Network: '10.5.0.0/17', ...config });
  await net.running({ hostName: 'h1', publicIp: '192.0.2.1', ranges: HALF_RANGES });
  await net.running({ hostName: 'h2', publicIp: '192.0.2.2', ranges: HALF_RANGES });
  return net;
}

async function decide(net: Administered, config: object, force = false) {
  return decideSet({ prefix: PREFIX, cluster: await net.cluster.state() }, JSON.stringify(config), force);
}

describe('what is foretold, and whether it takes --force', () => {
  test.each<[string, object, RegExp[], RegExp[]]>([
    [
      'a larger network',
      { Network: '10.5.0.0/16' },
      [/^10\.5\.0\.0\/17 .* → 10\.5\.0\.0\/16 /, /^2 hosts keep/],
      [],
    ],
    [
      'another backend',
      { ...HALF, Backend: { Type: 'vxlan' } },
      [/^backend udp → vxlan: every host changes over .* keep the MTU/, /^2 hosts keep their subnets$/],
      [],
    ],
    ...Object.entries({
      alloc: /^alloc carries no packets: containers of different hosts lose each other, unless/,
      extension: /^extension without a SubnetAddCommand carries no packets/,
      ipip: /^ipip needs the module of that name in the kernel of every host/,
      wireguard: /^wireguard needs its module in the kernel .*, or wireguard-go/,
      'host-gw': /^host-gw carries only between hosts on one link/,
    }).map(([type, takes]): [string, object, RegExp[], RegExp[]] => [
      type,
      { ...HALF, Backend: { Type: type } },
      [new RegExp(`^backend udp → ${type}: `), takes, /^2 hosts keep/],
      [],
    ]),
    [
      'extension with a command',
      { ...HALF, Backend: { Type: 'extension', SubnetAddCommand: 'true' } },
      [/^backend udp → extension: /, /^2 hosts keep/],
      [],
    ],
    [
      'an option of the backend',
      { ...HALF, Backend: { Type: 'udp', DirectRouting: true } },
      [/^Backend\.DirectRouting changes: every host/, /^2 hosts keep/],
      [],
    ],
    [
      'its port',
      { ...HALF, Backend: { Type: 'udp', Port: 9000 } },
      [/^Backend\.Port changes: every host/, /^packets may be lost for a moment/, /^2 hosts keep/],
      [],
    ],
    [
      'a family more',
      { ...HALF, EnableIPv6: true, IPv6Network: 'fd00::/48' },
      [
        /^fd00::\/48 is added: every host that has an IPv6 address leases a subnet of it beside/,
        /^a host without an IPv6 address goes on by the network config before, and says so$/,
        /^2 hosts keep/,
      ],
      [],
    ],
    [
      'another family',
      { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/48' },
      [
        /^fd00::\/48 is added: .* leases a subnet of it in place of the one it has;/,
        /^a host without an IPv6 address goes on .*, whether --force is given or not, and loses the others$/,
        /^10\.5\.0\.0\/17 is given up$/,
      ],
      [/^h1 .* gives up 10\.5\.1\.0\/24: /, /^h2 .* gives up /],
    ],
    [
      'a network that h1 is not in',
      { ...HALF, SubnetMin: '10.5.2.0' },
      [/ → /, /^1 host keeps its subnet$/],
      [
        /^h1 \(10\.5\.1\.0\/24\) has to lease another subnet in place of 10\.5\.1\.0\/24: its containers lose/,
      ],
    ],
    [
      'another length',
      { ...HALF, SubnetLen: 25 },
      [/ → /],
      [/^h1 .* has to lease another/, /^h2 .* has to lease another/],
    ],
    [
      'one with the address of h2 inside',
      { Network: '192.0.2.0/24', SubnetLen: 26, SubnetMin: '192.0.2.0' },
      [/ → /],
      [/^h1 .* 192\.0\.2\.1, which lies inside .* --force is given or not$/, /^h2 .* lies inside/],
    ],
    ['the same', HALF, [], []],
  ])('%s', async (_what, config, lines, losses) => {
    const change = await decide(await cluster(), config);
    const matching = (texts: readonly string[], patterns: RegExp[]) =>
      texts.length === patterns.length && texts.every((text, index) => patterns[index]?.test(text));
    if (!matching(change.lines, lines)) expect(change.lines).toEqual(lines);
    if (!matching(change.losses, losses)) expect(change.losses).toEqual(losses);
    expect(change.isRefused).toBe(losses.length > 0);
  });

  test('a family less, too few subnets, and who does not hear of it', async () => {
    const net = await Administered.create({ ...HALF, EnableIPv6: true, IPv6Network: 'fd00::/48' });
    const ranges = rangesOf({ ...HALF, EnableIPv6: true, IPv6Network: 'fd00::/48' });
    await net.running({ hostName: 'h1', ranges });
    await net.cluster.lease('10.5.2.0-24', value('192.0.2.9'));
    await net.cluster.reserve('10.5.100.0-24', value('0.0.0.0'));
    const less = await decide(net, HALF);
    expect(less.lines).toContain('fd00::/48 is given up');
    expect(less.losses).toEqual([
      expect.stringMatching(
        /^h1 \(10\.5\.1\.0\/24, fd00:0:0:1::\/64\) gives up fd00:0:0:1::\/64: .*IPv6 ends/,
      ),
    ]);
    expect(less.lines.at(-1)).toMatch(
      /^1 host runs flanneld, .*restart it there by hand: 192\.0\.2\.9 \(10\.5\.2\.0\/24\)$/,
    );
    const few = await decide(net, { ...HALF, SubnetMin: '10.5.1.0', SubnetMax: '10.5.1.0' });
    // h1 keeps its subnet, the only one.
    expect(few.losses.at(-1)).toMatch(
      /^1 host has to lease a subnet of 10\.5\.0\.0\/17, and 0 are free: 1 host goes on by the network config before/,
    );
    expect(few.lines).toContainEqual(
      expect.stringMatching(
        /^the reservation of 10\.5\.100\.0\/24 .*corduroy leases release 10\.5\.100\.0\/24$/,
      ),
    );
  });

  test('what is reserved for others is not free; what is reserved for a host that has to move is for that host', async () => {
    const three = { ...HALF, SubnetMin: '10.5.2.0', SubnetMax: '10.5.4.0' };
    const net = await cluster();
    for (const third of [3, 4]) await net.cluster.reserve(`10.5.${third}.0-24`, value('0.0.0.0'));
    const { losses } = await decide(net, three);
    expect(losses).toEqual([
      expect.stringMatching(/^h1 .* has to lease another/),
      expect.stringMatching(/^1 host has to lease a subnet of .*, and 0 are free: 1 host goes on/),
    ]);
    await net.putSide('10.5.4.0-24', 'h1');
    expect((await decide(net, three)).losses).toHaveLength(1);
  });

  test('what stands there unforced, and no host follows, is not in force: the same text is refused, too', async () => {
    const net = await cluster();
    const other = { Network: '10.9.0.0/16' };
    await net.cluster.put(CONFIG_KEY, JSON.stringify(other));
    expect(await decide(net, other)).toMatchObject({
      isRefused: true,
      losses: [expect.stringMatching(/^h1 /), expect.stringMatching(/^h2 /)],
    });
    const forced = await decide(net, other, true);
    expect(forced).toMatchObject({
      isRefused: false,
      says: expect.stringMatching(/^wrote again, by force, /),
    });
    expect(forced.operations.map(({ key }) => key)).toEqual([CONFIG_KEY, forcedConfigKey(PREFIX)]);
  });

  test('the first one ever affects nobody; an unreadable one before still lets the leases speak', async () => {
    const net = await cluster();
    await net.cluster.put(CONFIG_KEY, 'rubbish');
    expect((await decide(net, { Network: '10.9.0.0/16' })).losses).toHaveLength(2);
    const { store } = net.cluster;
    for (const { key } of (await store.list(`${PREFIX}/`)).entries)
      await store.transaction([], [{ do: 'delete', key }]);
    expect(await decide(net, HALF)).toMatchObject({ lines: [], losses: [], isRefused: false });
  });

  test('a secret in an option is never printed', async () => {
    const net = await cluster({ Backend: { Type: 'udp', PSK: 'old-secret' } });
    const { lines } = await decide(net, { ...HALF, Backend: { Type: 'udp', PSK: 'new-secret' } });
    expect(lines[0]).toMatch(/^Backend\.PSK changes/);
    expect(lines.join()).not.toMatch(/secret/);
  });
});

describe('what is written', () => {
  const SHORTER = { ...HALF, SubnetLen: 25 };

  async function write(net: Administered, config: object, force: boolean): Promise<boolean> {
    const { conditions, operations } = await decide(net, config, force);
    const { succeeded } = await net.cluster.store.transaction(conditions, operations);
    expect(succeeded).toBe(true);
    const stored = await net.cluster.store.get(CONFIG_KEY);
    const mark = await net.cluster.store.get(forcedConfigKey(PREFIX));
    return isForcedConfig(stored, mark);
  }

  test('with --force the mark of this very config, in one transaction; without, what stays behind says nothing of it', async () => {
    const net = await cluster();
    expect(await write(net, SHORTER, true)).toBe(true);
    const entries = await Promise.all(
      [CONFIG_KEY, forcedConfigKey(PREFIX)].map((key) => net.cluster.store.get(key)),
    );
    expect(entries[0]?.modRevision).toBe(entries[1]?.modRevision);
    expect(await write(net, { ...SHORTER, SubnetMin: '10.5.2.0' }, true)).toBe(true);
    expect(await write(net, { Network: '10.5.0.0/16', SubnetLen: 25 }, false)).toBe(false);
  });

  test('again: nothing', async () => {
    const net = await cluster();
    await write(net, SHORTER, true);
    expect((await decide(net, SHORTER, true)).operations).toEqual([]);
    expect(await decide(net, SHORTER, false)).toMatchObject({ operations: [], isRefused: false });
  });
});
