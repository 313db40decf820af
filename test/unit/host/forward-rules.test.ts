import { describe, expect, test } from 'vitest';
import {
  type ForwardWish,
  isMisread,
  planForward,
  planForwardRemoval,
} from '../../../src/host/forward-rules.ts';
import { parseTables } from '../../../src/host/iptables.ts';
import { parseNftRules } from '../../../src/host/nft-rules.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { SimulatedFilter } from './simulated-filter.ts';

const WISH: ForwardWish = {
  network: Prefix.parse('10.5.0.0/16'),
  tunnels: ['corduroy0'],
  chain: 'CORDUROY-FORWARD',
};

/** As dockerd 20.10 leaves the table. */
const DOCKER_20 = {
  FORWARD: [
    '-j DOCKER-USER',
    '-j DOCKER-ISOLATION-STAGE-1',
    '-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-o docker0 -j DOCKER',
    '-i docker0 ! -o docker0 -j ACCEPT',
    '-i docker0 -o docker0 -j ACCEPT',
  ],
  DOCKER: [],
  'DOCKER-ISOLATION-STAGE-1': ['-i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2', '-j RETURN'],
  'DOCKER-ISOLATION-STAGE-2': ['-o docker0 -j DROP', '-j RETURN'],
  'DOCKER-USER': ['-j RETURN'],
};
/** As dockerd 28 leaves it: what is not published is dropped by a rule. */
const DOCKER_28 = {
  FORWARD: ['-j DOCKER-USER', '-j DOCKER-FORWARD'],
  DOCKER: ['! -i docker0 -o docker0 -j DROP'],
  'DOCKER-FORWARD': ['-o docker0 -j DOCKER', '-i docker0 -j ACCEPT'],
  'DOCKER-USER': [],
};
/** As an iptables script, or firewalld of old, leaves it. */
const REJECTING = {
  FORWARD: [
    '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-j REJECT --reject-with icmp-host-prohibited',
  ],
};

interface Packet {
  readonly from: string;
  readonly in: string;
  readonly to: string;
  readonly out: string;
}
const FROM_PEER: Packet = { from: '10.5.2.7', in: 'corduroy0', to: '10.5.1.7', out: 'docker0' };
const TO_PEER: Packet = { from: '10.5.1.7', in: 'docker0', to: '10.5.2.7', out: 'corduroy0' };
const TO_WORLD: Packet = { from: '10.5.1.7', in: 'cbr0', to: '192.0.2.9', out: 'eth0' };
const FROM_WORLD: Packet = { from: '192.0.2.9', in: 'eth0', to: '10.5.1.7', out: 'docker0' };
const OTHERS: Packet = { from: '192.0.2.9', in: 'eth0', to: '198.51.100.3', out: 'eth1' };

/** Of a first packet: no connection is known. */
function fits(rule: string, packet: Packet): boolean {
  if (rule.includes('--ctstate')) return false;
  const inPrefix = (text: string, address: string) => Prefix.parse(text).contains(Ip.parse(address));
  const holds: Record<string, (value: string) => boolean> = {
    s: (value) => inPrefix(value, packet.from),
    d: (value) => inPrefix(value, packet.to),
    i: (value) => value === packet.in,
    o: (value) => value === packet.out,
  };
  return [...rule.matchAll(/(! )?-([sdio]) (\S+)/g)].every(
    ([, not, key = '', value = '']) => holds[key]?.(value) === (not === undefined),
  );
}

function set(chains: Readonly<Record<string, readonly string[]>>): SimulatedFilter {
  const filter = new SimulatedFilter(chains);
  filter.apply(planForward(filter.chains, WISH));
  return filter;
}

const verdict = (filter: SimulatedFilter, packet: Packet) => filter.verdict((rule) => fits(rule, packet));

const TABLES: [string, Readonly<Record<string, readonly string[]>>][] = [
  ['an empty table', {}],
  ['a policy and nothing else', { FORWARD: [] }],
  ['Docker 20.10', DOCKER_20],
  ['Docker 28', DOCKER_28],
  ['a REJECT at the end', REJECTING],
  ['a DROP with a comment', { FORWARD: ['-m comment --comment "all \\"else\\"" -j DROP'] }],
  ["rules of an instance's", { FORWARD: ['-j CORDUROY-B-FORWARD'], 'CORDUROY-B-FORWARD': [] }],
  ['appended, as it once was', { FORWARD: ['-j CORDUROY-FORWARD'], 'CORDUROY-FORWARD': [] }],
];

describe.each(TABLES)('on top of %s', (_what, table) => {
  test('containers reach each other, and the outside', () => {
    const filter = set(table);
    for (const packet of [FROM_PEER, TO_PEER, TO_WORLD]) expect(verdict(filter, packet)).toBe('ACCEPT');
  });

  test('nothing is left to do after it, and everything of others stays where it was', () => {
    const filter = set(table);
    expect(planForward(filter.chains, WISH)).toEqual([]);
    for (const [chain, rules] of Object.entries(table)) {
      if (chain === WISH.chain) continue;
      const isOthers = (rule: string) => !rule.endsWith('-j CORDUROY-FORWARD');
      expect(filter.rules(chain).filter(isOthers)).toEqual(rules.filter(isOthers));
    }
  });

  test('what is none of the network stays what it was', () => {
    expect(verdict(set(table), OTHERS)).toBe(verdict(new SimulatedFilter(table), OTHERS));
  });

  test('its removal leaves the rules of others', () => {
    const filter = set(table);
    filter.apply(planForwardRemoval(filter.chains, WISH.chain));
    expect([...filter.chains.keys()]).not.toContain(WISH.chain);
    expect(JSON.stringify([...filter.chains])).not.toContain(WISH.chain);
    expect(planForwardRemoval(filter.chains, WISH.chain)).toEqual([]);
  });
});

describe('when others change rules', () => {
  test.each<[string, (filter: SimulatedFilter) => void]>([
    ['FORWARD is flushed', (filter) => filter.apply([':FORWARD - [0:0]'])],
    ['the chain is flushed', (filter) => filter.apply([':CORDUROY-FORWARD - [0:0]'])],
    ['a rule is put into the chain', (filter) => filter.insert('CORDUROY-FORWARD', '-j DROP')],
    ['Docker starts', (filter) => filter.apply([':DOCKER-USER - [0:0]', '-I FORWARD 1 -j DOCKER-USER'])],
    [
      'DOCKER-USER is flushed',
      (filter) => filter.apply([':DOCKER-USER - [0:0]', '-A DOCKER-USER -j RETURN']),
    ],
    ['a jump is doubled', (filter) => filter.insert('FORWARD', '-j CORDUROY-FORWARD')],
    ['all is dropped by a rule in front', (filter) => filter.insert('FORWARD', '-j DROP')],
    ['a RETURN comes to stand in front', (filter) => filter.insert('DOCKER-USER', '-j RETURN')],
  ])('%s: it is mended', (_what, change) => {
    const filter = set(DOCKER_28);
    change(filter);
    const lines = planForward(filter.chains, WISH);
    expect(lines).not.toEqual([]);
    filter.apply(lines);
    for (const packet of [FROM_PEER, TO_PEER, TO_WORLD]) expect(verdict(filter, packet)).toBe('ACCEPT');
    expect(planForward(filter.chains, WISH)).toEqual([]);
  });

  test.each([
    [
      'of a user, before or after',
      '-i eth0 ! -s 192.0.2.0/28 -j DROP',
      { ...FROM_WORLD, from: '192.0.2.99' },
    ],
    [
      'against what goes out',
      '-d 169.254.169.254/32 -j DROP',
      { ...TO_WORLD, in: 'docker0', to: '169.254.169.254' },
    ],
  ])(
    'a rule in DOCKER-USER counts for what comes from outside, and goes there: %s',
    (_what, rule, packet) => {
      const table = { ...DOCKER_28, 'DOCKER-USER': [rule] };
      expect(verdict(set(table), packet)).toBe('DROP');
      const later = set(DOCKER_28);
      later.apply([`-A DOCKER-USER ${rule}`]);
      expect(verdict(later, packet)).toBe('DROP');
      expect(planForward(later.chains, WISH)).toEqual([]);
    },
  );

  test('what others append later counts, too, and is moved nowhere', () => {
    const rule = '-d 169.254.169.254/32 -j DROP';
    const packet = { ...TO_WORLD, to: '169.254.169.254' };
    const filter = set(DOCKER_28);
    filter.apply([`-A FORWARD ${rule}`]);
    expect(verdict(filter, packet)).toBe('ACCEPT');
    filter.apply(planForward(filter.chains, WISH));
    expect(verdict(filter, packet)).toBe('DROP');
    for (const other of [FROM_PEER, TO_PEER, TO_WORLD]) expect(verdict(filter, other)).toBe('ACCEPT');
    expect(planForward(filter.chains, WISH)).toEqual([]);
  });

  test('a rule that somebody has put in front, to forbid traffic between hosts, stays in front', () => {
    const filter = set(DOCKER_28);
    filter.insert('FORWARD', '-s 10.5.2.0/24 -j DROP');
    expect(planForward(filter.chains, WISH)).toEqual([]);
    filter.apply(['-A FORWARD -d 169.254.169.254/32 -j DROP']);
    filter.apply(planForward(filter.chains, WISH));
    expect(verdict(filter, FROM_PEER)).toBe('DROP');
    expect(verdict(filter, TO_PEER)).toBe('ACCEPT');
  });

  test('two instances do not both want to be the last: one change each, and they rest', () => {
    const other = { network: Prefix.parse('10.6.0.0/16'), tunnels: ['cdy-b'], chain: 'CORDUROY-B-FORWARD' };
    const filter = set(DOCKER_28);
    filter.apply(planForward(filter.chains, other));
    filter.apply(['-A FORWARD -d 169.254.169.254/32 -j DROP']);
    for (const wish of [WISH, other]) filter.apply(planForward(filter.chains, wish));
    for (const wish of [WISH, other]) expect(planForward(filter.chains, wish)).toEqual([]);
  });

  test('containers that are not published stay closed to the outside', () => {
    expect(verdict(set(DOCKER_28), FROM_WORLD)).toBe('DROP');
  });
});

describe('ways between hosts', () => {
  const set = (wish: ForwardWish) => {
    const filter = new SimulatedFilter({ FORWARD: ['-o docker0 -j DROP'] });
    filter.apply(planForward(filter.chains, wish));
    return filter;
  };
  const by = (device: string): Packet[] => [
    { ...FROM_PEER, in: device },
    { ...TO_PEER, out: device },
  ];
  const PLAIN: ForwardWish = { ...WISH, tunnels: [], underlay: 'eth0' };

  test('several tunnels, while a backend follows another', () => {
    const filter = new SimulatedFilter({ FORWARD: ['-i docker0 -j DROP', '-o docker0 -j DROP'] });
    filter.apply(planForward(filter.chains, { ...WISH, tunnels: ['corduroy0', 'corduroy.1'] }));
    for (const packet of [...by('corduroy0'), ...by('corduroy.1')])
      expect(verdict(filter, packet)).toBe('ACCEPT');
    // The one that was left is nobody's any more: its rules go.
    filter.apply(planForward(filter.chains, { ...WISH, tunnels: ['corduroy.1'] }));
    for (const packet of by('corduroy0')) expect(verdict(filter, packet)).toBe('DROP');
    expect(JSON.stringify([...filter.chains])).not.toContain('corduroy0');
  });

  test('an interface that other traffic goes by is a way for what goes from host to host alone', () => {
    const closed = ['-i docker0 -j DROP', '-o docker0 -j DROP'];
    const filter = new SimulatedFilter({ ...DOCKER_28, FORWARD: [...closed, ...DOCKER_28.FORWARD] });
    filter.apply(planForward(filter.chains, PLAIN));
    for (const packet of by('eth0')) expect(verdict(filter, packet)).toBe('ACCEPT');
    expect(verdict(filter, FROM_WORLD)).toBe('DROP');
    expect(planForward(filter.chains, PLAIN)).toEqual([]);
    filter.apply(planForward(filter.chains, WISH));
    expect(JSON.stringify([...filter.chains])).not.toContain('eth0');
  });

  test('none that Corduroy knows of: what goes from host to host, by whatever devices', () => {
    const none = { ...WISH, tunnels: [] };
    const filter = new SimulatedFilter(DOCKER_28);
    filter.apply(planForward(filter.chains, none));
    expect(planForward(filter.chains, none)).toEqual([]);
    for (const packet of [...by('gre1'), TO_WORLD]) expect(verdict(filter, packet)).toBe('ACCEPT');
    expect(verdict(filter, FROM_WORLD)).toBe('DROP');
  });

  test('of IPv6', () => {
    const network = Prefix.parse('fd00:5::/48');
    const wish = { ...WISH, network, underlay: 'eth0' };
    const filter = set(wish);
    const packet = { from: 'fd00:5:0:2::7', in: 'corduroy0', to: 'fd00:5:0:1::7', out: 'docker0' };
    expect(verdict(filter, packet)).toBe('ACCEPT');
    expect(verdict(filter, { ...packet, in: 'eth0' })).toBe('ACCEPT');
    expect(verdict(filter, { ...packet, in: 'eth0', from: '2001:db8::1' })).toBe('DROP');
    expect(planForward(filter.chains, wish)).toEqual([]);
  });
});

describe('a rule made with nft that names a set, which iptables shows without it', () => {
  const made = (...rules: string[]) =>
    parseNftRules(`table ip filter { # handle 1
\tset blocked { # handle 8
\t\ttype ipv4_addr
\t\telements = { 192.0.2.1 }
\t}

\tchain INPUT { # handle 3
\t\ttype filter hook input priority filter; policy accept;
\t\tip saddr @blocked drop # handle 4
\t}

\tchain FORWARD { # handle 2
\t\ttype filter hook forward priority filter; policy drop;
${rules.map((rule, index) => `\t\t${rule} # handle ${index + 20}`).join('\n')}
\t}
}
`);
  const shown = (...rules: string[]) => new Map([['FORWARD', rules]]);
  const COUNTER = 'counter packets 0 bytes 0';

  test.each([
    ['with its elements', 'ip daddr { 169.254.169.254, 192.168.9.0/24 } drop'],
    ['on several lines', 'ip daddr { 169.254.169.254, 192.168.9.0/24,\n\t\t\t     192.168.10.0/24 } drop'],
    ['by its name', `ip daddr @blocked ${COUNTER} drop comment "x"`],
  ])('%s', (_what, rule) => {
    const chains = shown('-i eth1 -j ACCEPT', '-j DROP');
    expect(isMisread(chains, made('iifname "eth1" accept', rule))).toBe(true);
  });

  test('no rules of iptables are taken for one', () => {
    const chains = shown(
      '-m comment --comment "a { @x }" -j DROP',
      '-p tcp -m multiport --dports 80,443 -j ACCEPT',
      '-j REJECT --reject-with icmp-port-unreachable',
    );
    const rules = made(
      ` ${COUNTER} drop comment "a { @x }"`,
      `meta l4proto tcp tcp dport { 80, 443 } ${COUNTER} accept`,
      `${COUNTER} reject`,
    );
    expect(isMisread(chains, rules)).toBe(false);
  });

  test('nor is there any where nft has no such table: iptables is the legacy one', () => {
    expect(isMisread(shown('-j DROP'), parseNftRules(''))).toBe(false);
  });
});

test('what iptables-save says', () => {
  const tables = parseTables(`# Generated by iptables-save v1.8.9 (nf_tables) on Sat Nov 21 2026
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [12:3456]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -m comment --comment "a -A b" -j REJECT --reject-with icmp-port-unreachable
-A DOCKER-USER -j RETURN
COMMIT
# Completed
*nat
:POSTROUTING ACCEPT [0:0]
COMMIT
`);
  expect(tables.get('filter')).toEqual(
    new Map([
      ['INPUT', []],
      [
        'FORWARD',
        ['-j DOCKER-USER', '-m comment --comment "a -A b" -j REJECT --reject-with icmp-port-unreachable'],
      ],
      ['DOCKER-USER', ['-j RETURN']],
    ]),
  );
  expect(tables.get('nat')).toEqual(new Map([['POSTROUTING', []]]));
  expect(parseTables('')).toEqual(new Map());
});
