/** A rule of a table, as `nft -a list table` shows it. */
export interface NftRule {
  readonly chain: string;
  readonly text: string;
  readonly handle: string;
}

/** The rules in a listing, those of a chain in their order. The elements of a set may go on over several lines. */
export function parseNftRules(listing: string): NftRule[] {
  const rules: NftRule[] = [];
  let chain: string | undefined;
  let words = '';
  for (const line of listing.split('\n')) {
    const [, name] = /^\tchain (\S+) \{/.exec(line) ?? [];
    if (name !== undefined || line === '\t}') {
      chain = name;
      words = '';
    } else if (chain !== undefined && !/^\s*type \S+ hook /.test(line)) {
      words += `${line.trim()} `;
      const [, text, handle] = /^(.*) # handle (\d+) $/.exec(words) ?? [];
      if (text === undefined || handle === undefined) continue;
      rules.push({ chain, text, handle });
      words = '';
    }
  }
  return rules;
}

/**
 * What nft is to read so that a chain of a table, and every jump to it, is gone; empty when it is.
 * @param table with its family, `ip filter`
 */
export function chainRemoval(listing: string, table: string, chain: string): string {
  const jumps = parseNftRules(listing).filter(({ text }) => text.endsWith(` jump ${chain}`));
  const isThere = new RegExp(`^\\tchain ${chain} \\{`, 'm').test(listing);
  return [
    ...jumps.map(({ chain: place, handle }) => `delete rule ${table} ${place} handle ${handle}\n`),
    ...(isThere ? [`flush chain ${table} ${chain}\n`, `delete chain ${table} ${chain}\n`] : []),
  ].join('');
}

/** Whether a rule names a set: iptables 1.8.9 shows the rest of it only, as if it held for everything. */
export function namesSet({ text }: NftRule): boolean {
  return /\{| @/.test(text.replace(/"[^"]*"/g, ''));
}
