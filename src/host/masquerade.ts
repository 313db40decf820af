import type { Family } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { run, runIfThere } from './exec.ts';
import { nftFamily } from './iptables.ts';

export interface MasqueradeWish {
  /** The whole overlay, of one family. */
  readonly network: Prefix;
  /** This host's part of it. */
  readonly subnet: Prefix;
  /** Destinations outside, of that family, that see containers by their own addresses. */
  readonly exclude: readonly Prefix[];
  readonly masquerade: 'off' | 'on' | 'fully-random';
}

const MULTICAST: Readonly<Record<Family, Prefix>> = {
  4: Prefix.parse('224.0.0.0/4'),
  6: Prefix.parse('ff00::/8'),
};

/**
 * Flannel's rules, in its order: nothing between containers is masqueraded, nothing that enters from outside either;
 * what leaves the network is, and so is what a host itself sends into it from an outside address.
 */
export function masqueradeTable(
  { network, subnet, exclude, masquerade }: MasqueradeWish,
  table: string,
): string {
  const verdict = masquerade === 'fully-random' ? 'masquerade fully-random' : 'masquerade';
  const plain = outermost([network, MULTICAST[network.family], ...exclude]);
  const ip = nftFamily(network.family);
  const outward =
    plain[0]?.length === 0 ? '' : `${ip} saddr ${network} ${ip} daddr != { ${plain.join(', ')} } ${verdict}`;
  return `add table ${ip} ${table}
delete table ${ip} ${table}
table ${ip} ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x4000 == 0x4000 return
    ${ip} saddr ${subnet} ${ip} daddr ${network} return
    ${ip} saddr ${network} ${ip} daddr ${subnet} return
    ${ip} saddr != ${network} ${ip} daddr ${subnet} return
    ${outward}
    ${ip} saddr != ${network} ${ip} daddr ${network} ${verdict}
  }
}
`;
}

/** Without those that lie in another one: nft refuses a set whose intervals overlap. */
function outermost(prefixes: readonly Prefix[]): Prefix[] {
  return prefixes.filter(
    (one, index) =>
      !prefixes.some((other, at) => at !== index && other.covers(one) && (at < index || !one.covers(other))),
  );
}

/** Replaces the table, whether or not it is there, in one transaction. @throws CorduroyError `host-command` */
export async function setMasquerade(wish: MasqueradeWish, table: string): Promise<void> {
  await run('nft', ['-f', '-'], { input: masqueradeTable(wish, table) });
}

/** What nft says of the table; empty when there is none, or no nft that could have made it. */
export async function showMasquerade(family: Family, table: string): Promise<string> {
  return (await runIfThere('nft', ['list', 'table', nftFamily(family), table]))?.stdout ?? '';
}

/** @returns what was removed */
export async function removeMasquerade(family: Family, table: string): Promise<string[]> {
  if ((await showMasquerade(family, table)) === '') return [];
  await run('nft', ['delete', 'table', nftFamily(family), table]);
  return [`nft table ${nftFamily(family)} ${table}`];
}
