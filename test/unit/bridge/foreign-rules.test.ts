import { expect, test } from 'vitest';
import { rulesInTheWay } from '../../../src/bridge/foreign-rules.ts';
import { parseTables } from '../../../src/host/iptables.ts';
import { Prefix } from '../../../src/net/prefix.ts';

const OURS = {
  subnet: Prefix.parse('10.5.1.0/24'),
  devices: ['corduroy0'],
  ipMasq: true,
  configure: 'CONFIGURE',
};

/** Of dockerd, in front of and behind the rule in question. */
const tables = (nat: string, raw = '') =>
  parseTables(`*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.18.0.0/16 ! -o br-1234 -j MASQUERADE
${nat}
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 22 -j MASQUERADE
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 172.18.0.2/32 ! -i br-1234 -j DROP
${raw}
COMMIT
`);
const MASQUERADE = '-s 10.5.1.0/24 ! -o docker0 -j MASQUERADE';

test.each<[string, string, string, Partial<typeof OURS>, RegExp[]]>([
  [
    'Docker masquerades the subnet',
    `-A POSTROUTING ${MASQUERADE}`,
    '',
    {},
    [
      /iptables -t nat -D POSTROUTING -s 10\.5\.1\.0\/24 ! -o docker0 -j MASQUERADE removes its rule, and CONFIGURE keeps/,
    ],
  ],
  [
    'it drops what comes from elsewhere',
    '',
    '-A PREROUTING -d 10.5.1.2/32 ! -i docker0 -j DROP',
    {},
    [/Docker \(28 and newer\) drops .* -d 10\.5\.1\.2\/32 ! -i docker0 -j DROP\): CONFIGURE makes/],
  ],
  [
    'port by port',
    '',
    '-A PREROUTING -d 10.5.1.2/32 ! -i docker0 -p tcp -m tcp --dport 80 -j DROP',
    {},
    [/--dport 80 -j DROP\): CONFIGURE makes/],
  ],
  [
    'both',
    `-A POSTROUTING ${MASQUERADE}`,
    '-A PREROUTING -d 10.5.1.0/24 ! -i docker0 -j DROP',
    {},
    [/masquerades/, /drops/],
  ],
  ['it is Docker that is to masquerade', `-A POSTROUTING ${MASQUERADE}`, '', { ipMasq: false }, []],
  [
    'it trusts the tunnel',
    '',
    '-A PREROUTING -d 10.5.1.2/32 -i corduroy0 -j ACCEPT\n-A PREROUTING -d 10.5.1.2/32 ! -i docker0 -j DROP',
    {},
    [],
  ],
  ['other subnets', '-A POSTROUTING -s 10.6.0.0/16 ! -o docker0 -j MASQUERADE', '', {}, []],
  [
    'what is for some destinations only',
    '-A POSTROUTING -s 10.5.1.0/24 ! -d 10.5.0.0/16 -j MASQUERADE',
    '',
    {},
    [],
  ],
])('%s', (_what, nat, raw, over, expected) => {
  const said = rulesInTheWay(tables(nat, raw), { ...OURS, ...over });
  expect(said).toHaveLength(expected.length);
  for (const [index, pattern] of expected.entries()) expect(said[index]).toMatch(pattern);
});

test('of several tunnels Docker has to trust each, and where packets come plainly, the interface', () => {
  const drop = '-A PREROUTING -d 10.5.1.2/32 ! -i docker0 -j DROP';
  const accept = (device: string) => `-A PREROUTING -d 10.5.1.2/32 -i ${device} -j ACCEPT\n`;
  const said = (raw: string, devices: string[]) => rulesInTheWay(tables('', raw), { ...OURS, devices });
  expect(said(accept('corduroy0') + drop, ['corduroy0', 'corduroy.1'])).toHaveLength(1);
  expect(said(accept('corduroy0') + accept('corduroy.1') + drop, ['corduroy0', 'corduroy.1'])).toEqual([]);
  expect(said(drop, [])).toHaveLength(1);
  expect(said(accept('eth0') + drop, [])).toEqual([]);
});

test('IPv6 has its own tables, and its own commands', () => {
  const ours = { ...OURS, subnet: Prefix.parse('fd00:5:0:1::/64') };
  const nat = '-A POSTROUTING -s fd00:5:0:1::/64 ! -o docker0 -j MASQUERADE';
  const said = rulesInTheWay(tables(nat, '-A PREROUTING -d fd00:5:0:1::2/128 ! -i docker0 -j DROP'), ours);
  expect(said[0]).toContain('ip6tables -t nat -D POSTROUTING -s fd00:5:0:1::/64');
  expect(said[1]).toContain('(ip6tables -t raw -S PREROUTING shows: -d fd00:5:0:1::2/128');
});

test('a host without any rules', () => {
  expect(rulesInTheWay(new Map(), OURS)).toEqual([]);
});
