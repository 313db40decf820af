import type { Prefix } from '../net/prefix.ts';
import { run } from './exec.ts';

/** What Corduroy wants of the firewall. */
export interface FirewallState {
  /** The whole overlay, IPv4. */
  readonly network: Prefix;
  /** This host's part of it. */
  readonly subnet: Prefix;
  /** Accept forwarding from and to the network, in the iptables chain FORWARD, where Docker's drop is. */
  readonly forward: boolean;
  readonly masquerade: 'off' | 'on' | 'fully-random';
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
  /** The iptables chain that FORWARD jumps to. */
  readonly chain: string;
}

/**
 * Keeps an nft table and an iptables chain of Corduroy's own, each set in one atomic step. What the tools show after a
 * change is remembered; when they show something else later, somebody has interfered and it is set again.
 */
export class Firewall {
  readonly #names: FirewallNames;
  #wanted = '';
  #shown = '';
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
    const shown = await this.#show(state);
    if (wanted === this.#wanted && shown === this.#shown) return false;
    await this.#apply(state, remember);
    this.#shown = await this.#show(state);
    this.#wanted = wanted;
    return true;
  }

  async #show(state: FirewallState): Promise<string> {
    const parts: string[] = [];
    if (state.masquerade !== 'off') parts.push(await showTable(this.#names));
    if (state.forward) parts.push(await showChain(this.#names));
    return parts.join('\n');
  }

  async #apply(state: FirewallState, remember: (byproducts: Byproducts) => void): Promise<void> {
    if (state.masquerade === 'off') await removeTable(this.#names);
    else await run('nft', ['-f', '-'], { input: masqueradeTable(state, this.#names.table) });
    if (!state.forward) {
      await removeChain(this.#names, this.#byproducts);
      return;
    }
    const before = await showFilterTable();
    this.#byproducts = {
      filterTable: this.#byproducts.filterTable || before === '',
      forwardChain: this.#byproducts.forwardChain || !/^\s*chain FORWARD /m.test(before),
    };
    remember(this.#byproducts);
    await setForwardChain(state, this.#names.chain);
  }
}

/** Removes the table and the chain. @returns what was removed */
export async function removeFirewall(names: FirewallNames, byproducts: Byproducts): Promise<string[]> {
  return [...(await removeTable(names)), ...(await removeChain(names, byproducts))];
}

/**
 * Flannel's rules, in its order: nothing between containers is masqueraded, nothing that enters from outside either;
 * what leaves the network is, and so is what a host itself sends into it from an outside address.
 */
export function masqueradeTable({ network, subnet, masquerade }: FirewallState, table: string): string {
  const verdict = masquerade === 'fully-random' ? 'masquerade fully-random' : 'masquerade';
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x4000 == 0x4000 return
    ip saddr ${subnet} ip daddr ${network} return
    ip saddr ${network} ip daddr ${subnet} return
    ip saddr != ${network} ip daddr ${subnet} return
    ip saddr ${network} ip daddr != { ${network}, 224.0.0.0/4 } ${verdict}
    ip saddr != ${network} ip daddr ${network} ${verdict}
  }
}
`;
}

async function showTable({ table }: FirewallNames): Promise<string> {
  return (await run('nft', ['list', 'table', 'ip', table], { allowFailure: true })).stdout;
}

async function removeTable(names: FirewallNames): Promise<string[]> {
  if ((await showTable(names)) === '') return [];
  await run('nft', ['delete', 'table', 'ip', names.table]);
  return [`nft table ip ${names.table}`];
}

async function showChain({ chain }: FirewallNames): Promise<string> {
  const rules = await run('iptables', ['-w', '5', '-S', chain], { allowFailure: true });
  const jump = await run('iptables', ['-w', '5', '-C', 'FORWARD', '-j', chain], { allowFailure: true });
  return `${rules.stdout}${jump.code}`;
}

async function setForwardChain({ network }: FirewallState, chain: string): Promise<void> {
  const rules = [
    '*filter',
    `:${chain} - [0:0]`,
    `-A ${chain} -s ${network} -j ACCEPT`,
    `-A ${chain} -d ${network} -j ACCEPT`,
    'COMMIT',
  ];
  await run('iptables-restore', ['-w', '5', '--noflush'], { input: `${rules.join('\n')}\n` });
  const jump = ['FORWARD', '-j', chain];
  const { code } = await run('iptables', ['-w', '5', '-C', ...jump], { allowFailure: true });
  if (code !== 0) await run('iptables', ['-w', '5', '-A', ...jump]);
}

async function removeChain({ chain }: FirewallNames, byproducts: Byproducts): Promise<string[]> {
  const found = await run('iptables', ['-w', '5', '-S', chain], { allowFailure: true });
  if (found.code === 1) return []; // There is none; anything else (a lock, a missing right) is no answer.
  if (found.code !== 0) await run('iptables', ['-w', '5', '-S', chain]);
  await run('iptables', ['-w', '5', '-D', 'FORWARD', '-j', chain], { allowFailure: true });
  await run('iptables', ['-w', '5', '-F', chain]);
  await run('iptables', ['-w', '5', '-X', chain]);
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
