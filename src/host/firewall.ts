import { CorduroyError } from '../errors.ts';
import { run } from './exec.ts';
import { type ForwardWish, planForward, planForwardRemoval } from './forward-rules.ts';
import { changeTable, readTable } from './iptables.ts';
import { type MasqueradeWish, removeMasquerade, setMasquerade, showMasquerade } from './masquerade.ts';

/** What Corduroy wants of the firewall. */
export interface FirewallState extends MasqueradeWish {
  /** The tunnel device. */
  readonly device: string;
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

export interface FirewallNames {
  /** The nft table that holds the masquerading. */
  readonly table: string;
  /** The iptables chain that forward rules jump to. */
  readonly chain: string;
}

/**
 * Keeps an nft table and an iptables chain of Corduroy's own, each set in one atomic step. What nft shows of the table
 * after a change is remembered; when it shows something else later, somebody has interfered and it is set again. Of
 * iptables the rules themselves are compared: they stand among those of others.
 */
export class Firewall {
  readonly #names: FirewallNames;
  #wanted = '';
  #shownTable = '';
  #byproducts: Byproducts;

  /** @param byproducts as remembered from an earlier run */
  constructor(names: FirewallNames, byproducts: Byproducts) {
    this.#names = names;
    this.#byproducts = byproducts;
  }

  /**
   * @param remember is told of by-products before they come to be
   * @returns whether anything had to be changed
   * @throws CorduroyError `host-command`
   */
  async ensure(state: FirewallState, remember: (byproducts: Byproducts) => void): Promise<boolean> {
    const wanted = JSON.stringify(state);
    const isNew = wanted !== this.#wanted;
    this.#wanted = '';
    const tableChanged = await this.#ensureTable(state, isNew);
    const rulesChanged = await this.#ensureRules(state, isNew, remember);
    this.#wanted = wanted;
    return tableChanged || rulesChanged;
  }

  async #ensureTable(state: FirewallState, isNew: boolean): Promise<boolean> {
    const { table } = this.#names;
    if (state.masquerade === 'off') return isNew && (await removeMasquerade(table)).length > 0;
    if (!isNew && (await showMasquerade(table)) === this.#shownTable) return false;
    await setMasquerade(state, table);
    this.#shownTable = await showMasquerade(table);
    return true;
  }

  async #ensureRules(
    { network, device, forward }: FirewallState,
    isNew: boolean,
    remember: (byproducts: Byproducts) => void,
  ): Promise<boolean> {
    const { chain } = this.#names;
    if (!forward) return isNew && (await removeRules(chain, this.#byproducts)).length > 0;
    const wish: ForwardWish = { network, device, chain };
    const lines = planForward(await readTable('filter'), wish);
    if (lines.length === 0) return false;
    const before = await showFilterTable();
    this.#byproducts = {
      filterTable: this.#byproducts.filterTable || before === '',
      forwardChain: this.#byproducts.forwardChain || !/^\s*chain FORWARD /m.test(before),
    };
    remember(this.#byproducts);
    await changeTable('filter', lines);
    const left = planForward(await readTable('filter'), wish);
    if (left.length === 0) return true;
    const text = `iptables does not show the rules it was given; still to do: ${left.join('; ')}`;
    throw new CorduroyError('host-command', text, { retryable: true });
  }
}

/** Removes the table and the chain. @returns what was removed */
export async function removeFirewall(names: FirewallNames, byproducts: Byproducts): Promise<string[]> {
  return [...(await removeMasquerade(names.table)), ...(await removeRules(names.chain, byproducts))];
}

async function removeRules(chain: string, byproducts: Byproducts): Promise<string[]> {
  const lines = planForwardRemoval(await readTable('filter'), chain);
  if (lines.length === 0) return [];
  await changeTable('filter', lines);
  if (byproducts.forwardChain && EMPTY_FORWARD.test(await showFilterTable())) {
    await run('nft', ['delete', 'chain', 'ip', 'filter', 'FORWARD'], { allowFailure: true });
  }
  if (byproducts.filterTable && EMPTY_TABLE.test(await showFilterTable())) {
    await run('nft', ['delete', 'table', 'ip', 'filter'], { allowFailure: true });
  }
  return [`iptables chain ${chain}`];
}

/** Empty when there is none (or iptables is the legacy one, which has no table in nftables). */
async function showFilterTable(): Promise<string> {
  return (await run('nft', ['list', 'table', 'ip', 'filter'], { allowFailure: true })).stdout;
}

const EMPTY_FORWARD = /chain FORWARD \{\s*type filter hook forward priority (filter|0); policy accept;\s*\}/;
const EMPTY_TABLE = /^table ip filter \{\s*\}\s*$/;
