import { CorduroyError, isCode } from '../errors.ts';
import type { Family } from '../net/ip.ts';
import { run } from './exec.ts';

/** The rules of one table by their chain, each as iptables-save writes it after `-A CHAIN`. */
export type Chains = ReadonlyMap<string, readonly string[]>;

/** As the commands of each family begin. */
const TOOL: Readonly<Record<Family, string>> = { 4: 'iptables', 6: 'ip6tables' };

/** As nft calls a family's tables. */
export function nftFamily(family: Family): string {
  return family === 4 ? 'ip' : 'ip6';
}

/** Reads what iptables-save says: the chains of each table. */
export function parseTables(text: string): Map<string, Chains> {
  const tables = new Map<string, Map<string, string[]>>();
  let chains = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [, table] = /^\*(\S+)/.exec(line) ?? [];
    const [, declared] = /^:(\S+) /.exec(line) ?? [];
    const [, chain, rule] = /^-A (\S+) (.*?) *$/.exec(line) ?? [];
    if (table !== undefined) {
      chains = new Map();
      tables.set(table, chains);
    } else if (declared !== undefined) chains.set(declared, []);
    else if (chain !== undefined && rule !== undefined) chains.get(chain)?.push(rule);
  }
  return tables;
}

/**
 * Reads one table; an empty one where the host has none.
 * @throws CorduroyError `host-command`; `foreign-object` where iptables cannot read what is in it
 */
export async function readTable(family: Family, table: string): Promise<Chains> {
  const { stdout } = await run(`${TOOL[family]}-save`, ['-t', table]);
  if (INCOMPATIBLE.test(stdout)) throw unreadable(family, table);
  return parseTables(stdout).get(table) ?? new Map();
}

export function unreadable(family: Family, table: string): CorduroyError {
  return new CorduroyError(
    'foreign-object',
    `the table ${table} holds rules that ${TOOL[family]} cannot read (nft list table ${nftFamily(family)} ${table}): ` +
      'move them to a table of another name, or leave forwarding to them with --iptables-forward-rules=false',
    { retryable: true },
  );
}

/** All tables that the host has; none where there is no iptables. */
export async function readAllTables(family: Family): Promise<ReadonlyMap<string, Chains>> {
  const said = await run(`${TOOL[family]}-save`, [], { allowFailure: true }).catch((error: unknown) => {
    if (isCode(error, 'host-command')) return undefined;
    throw error;
  });
  return parseTables(said?.stdout ?? '');
}

/** What iptables-nft says of a table that nft has put something into. */
const INCOMPATIBLE = /is incompatible, use 'nft' tool/;

/**
 * Carries out lines of iptables-restore in one step: all of them or none. What they do not name stays.
 * @throws CorduroyError `host-command`
 */
export async function changeTable(family: Family, table: string, lines: readonly string[]): Promise<void> {
  const input = [`*${table}`, ...lines, 'COMMIT', ''].join('\n');
  await run(`${TOOL[family]}-restore`, ['-w', '5', '--noflush'], { input });
}
