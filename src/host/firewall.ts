import { CorduroyError, isCode } from '../errors.ts';
import type { Family } from '../net/ip.ts';
import { isMissing, run, runIfThere } from './exec.ts';
import { type ForwardWish, isMisread, planForward, planForwardRemoval } from './forward-rules.ts';
import { changeTable, nftFamily, readTable, unreadable } from './iptables.ts';
import { type MasqueradeWish, removeMasquerade, setMasquerade, showMasquerade } from './masquerade.ts';
import { chainRemoval, parseNftRules } from './nft-rules.ts';

/** What Corduroy wants of the firewall of one family. */
export interface FirewallState extends MasqueradeWish, Omit<ForwardWish, 'chain'> {
  /** Accept forwarding from and to the network, in iptables' filter table, where Docker's drop is. */
  readonly forward: boolean;
}

/**
 * What iptables made along with Corduroy's chain (iptables-nft makes its table and built-in chains on first use): only
 * what was absent before is removed again, and only while it is empty.
 */
export interface Byproducts {
  readonly filterTable: boolean;
  readonly forwardChain: boolean;
}

/** Of a host that has been left alone. */
export const NO_BYPRODUCTS: Byproducts = { filterTable: false, forwardChain: false };

export interface FirewallNames {
  /** The nft table that holds the masquerading, one a family. */
  readonly table: string;
  /** The chain that forward rules jump to, in iptables and ip6tables. */
  readonly chain: string;
}

/**
 * Keeps, for one family, an nft table and an iptables chain of Corduroy's own, each set in one atomic step. What nft
 * shows of the table after a change is remembered; when it shows something else later, somebody has interfered and it is
 * set again. Of iptables the rules themselves are compared: they stand among those of others.
 */
export class Firewall {
  readonly #family: Family;
  readonly #names: FirewallNames;
  /** What each part was last brought to. */
  readonly #held = new Map<'table' | 'rules', string>();
  #shownTable = '';
  #byproducts: Byproducts;

  /** @param byproducts as remembered from an earlier run */
  constructor(family: Family, names: FirewallNames, byproducts: Byproducts) {
    this.#family = family;
    this.#names = names;
    this.#byproducts = byproducts;
  }

  /**
   * @param remember is told of by-products before they come to be
   * @returns whether anything had to be changed
   * @throws CorduroyError `host-command`; `foreign-object` where iptables cannot read what others have put into its table
   */
  async ensure(state: FirewallState, remember: (byproducts: Byproducts) => void): Promise<boolean> {
    const wanted = JSON.stringify(state);
    const changed = await inTurn([
      () => this.#hold('table', wanted, (isNew) => this.#ensureTable(state, isNew)),
      () => this.#hold('rules', wanted, (isNew) => this.#ensureRules(state, isNew, remember)),
    ]);
    return changed.includes(true);
  }

  /** That it was ever brought to anything: somebody has removed it on purpose. */
  forget(): void {
    this.#held.clear();
    this.#byproducts = NO_BYPRODUCTS;
  }

  async #hold(
    part: 'table' | 'rules',
    wanted: string,
    ensure: (isNew: boolean) => Promise<boolean>,
  ): Promise<boolean> {
    const isNew = this.#held.get(part) !== wanted;
    this.#held.delete(part);
    const changed = await ensure(isNew);
    this.#held.set(part, wanted);
    return changed;
  }

  async #ensureTable(state: FirewallState, isNew: boolean): Promise<boolean> {
    const { table } = this.#names;
    const family = this.#family;
    if (state.masquerade === 'off') return isNew && (await removeMasquerade(family, table)).length > 0;
    if (!isNew && (await showMasquerade(family, table)) === this.#shownTable) return false;
    await setMasquerade(state, table);
    this.#shownTable = await showMasquerade(family, table);
    return true;
  }

  async #ensureRules(
    { network, tunnels, underlay, forward }: FirewallState,
    isNew: boolean,
    remember: (byproducts: Byproducts) => void,
  ): Promise<boolean> {
    const { chain } = this.#names;
    const family = this.#family;
    if (!forward) return isNew && (await removeRules(family, chain, this.#byproducts)).length > 0;
    const wish: ForwardWish = { network, tunnels, underlay, chain };
    const chains = await readTable(family, 'filter');
    const lines = planForward(chains, wish);
    if (lines.length === 0) return false;
    const before = await listFilterTable(family, '-a');
    if (isMisread(chains, parseNftRules(before))) throw unreadable(family, 'filter');
    this.#byproducts = {
      filterTable: this.#byproducts.filterTable || before === '',
      forwardChain: this.#byproducts.forwardChain || !/^\s*chain FORWARD /m.test(before),
    };
    remember(this.#byproducts);
    await changeTable(family, 'filter', lines);
    const left = planForward(await readTable(family, 'filter'), wish);
    if (left.length === 0) return true;
    const text = `iptables does not show the rules it was given; still to do: ${left.join('; ')}`;
    throw new CorduroyError('host-command', text, { retryable: true });
  }
}

/** Removes a family's table and chain. @returns what was removed */
export async function removeFirewall(
  family: Family,
  names: FirewallNames,
  byproducts: Byproducts,
): Promise<string[]> {
  const removed = await inTurn([
    () => removeMasquerade(family, names.table),
    () => removeRules(family, names.chain, byproducts),
  ]);
  return removed.flat();
}

async function removeRules(family: Family, chain: string, byproducts: Byproducts): Promise<string[]> {
  if (!(await removeChain(family, chain))) return [];
  const table = [nftFamily(family), 'filter'];
  if (byproducts.forwardChain && EMPTY_FORWARD.test(await listFilterTable(family))) {
    await run('nft', ['delete', 'chain', ...table, 'FORWARD'], { allowFailure: true });
  }
  if (byproducts.filterTable && EMPTY_TABLE.test(await listFilterTable(family))) {
    await run('nft', ['delete', 'table', ...table], { allowFailure: true });
  }
  return [`${family === 4 ? 'iptables' : 'ip6tables'} chain ${chain}`];
}

/** @returns whether there was anything to remove */
async function removeChain(family: Family, chain: string): Promise<boolean> {
  try {
    const lines = planForwardRemoval(await readTable(family, 'filter'), chain);
    if (lines.length > 0) await changeTable(family, 'filter', lines);
    return lines.length > 0;
  } catch (error) {
    // Nothing of others, nor the lack of iptables, keeps Corduroy's own from going.
    if (!isCode(error, 'foreign-object') && !isMissing(error)) throw error;
    const lines = chainRemoval(await listFilterTable(family, '-a'), `${nftFamily(family)} filter`, chain);
    if (lines !== '') await run('nft', ['-f', '-'], { input: lines });
    return lines !== '';
  }
}

/** Empty when there is none (or iptables is the legacy one, which has no table in nftables), or no nft. */
async function listFilterTable(family: Family, ...options: string[]): Promise<string> {
  const args = [...options, 'list', 'table', nftFamily(family), 'filter'];
  return (await runIfThere('nft', args))?.stdout ?? '';
}

/** One after the other; what fails keeps none from its turn. @throws the first failure, after the last turn */
async function inTurn<T>(parts: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  const failures: unknown[] = [];
  for (const part of parts) {
    await part().then(
      (result) => results.push(result),
      (error) => failures.push(error),
    );
  }
  if (failures.length > 0) throw failures[0];
  return results;
}

const EMPTY_FORWARD = /chain FORWARD \{\s*type filter hook forward priority (filter|0); policy accept;\s*\}/;
const EMPTY_TABLE = /^table ip6? filter \{\s*\}\s*$/;
