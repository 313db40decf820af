import type { Chains } from '../../../src/host/iptables.ts';

/** As much of iptables' filter table as the lines of a plan need: it takes all of them or none. */
export class SimulatedFilter {
  #chains: Map<string, string[]>;

  constructor(chains: Readonly<Record<string, readonly string[]>>) {
    this.#chains = new Map(Object.entries(chains).map(([name, rules]) => [name, [...rules]]));
  }

  get chains(): Chains {
    return this.#chains;
  }

  rules(chain: string): readonly string[] {
    return this.#chains.get(chain) ?? [];
  }

  /** Docker, or a hand, puts a rule at the top of a chain. */
  insert(chain: string, rule: string): void {
    this.#chains.set(chain, [rule, ...this.rules(chain)]);
  }

  apply(lines: readonly string[]): void {
    const chains = new Map([...this.#chains].map(([name, rules]) => [name, [...rules]]));
    for (const line of lines) change(chains, line);
    this.#chains = chains;
  }

  /** Where a packet ends that a rule matches for which `matches` says so; `policy` where none decides. */
  verdict(matches: (rule: string) => boolean, chain = 'FORWARD'): string {
    for (const rule of this.rules(chain)) {
      const [, target = ''] = /-j (\S+)/.exec(rule) ?? [];
      if (!matches(rule)) continue;
      if (['ACCEPT', 'DROP', 'REJECT'].includes(target)) return target;
      if (target === 'RETURN') break;
      const inner = this.verdict(matches, target);
      if (inner !== 'policy') return inner;
    }
    return 'policy';
  }
}

function change(chains: Map<string, string[]>, line: string): void {
  const [, declared] = /^:(\S+) - \[0:0\]$/.exec(line) ?? [];
  if (declared !== undefined) {
    chains.set(declared, []);
    return;
  }
  const [, verb, chain = '', rest = ''] = /^-([ADIX]) (\S+) ?(.*)$/.exec(line) ?? [];
  // A built-in chain comes to be when it is used.
  const rules = chains.get(chain) ?? (chain === 'FORWARD' ? [] : undefined);
  if (rules === undefined) throw new Error(`no chain ${chain}: ${line}`);
  chains.set(chain, rules);
  switch (verb) {
    case 'A':
      rules.push(rest);
      return;
    case 'I': {
      const [, number, rule = ''] = /^(\d+) (.*)$/.exec(rest) ?? [];
      if (Number(number) > rules.length + 1) throw new Error(`index too big: ${line}`);
      rules.splice(Number(number) - 1, 0, rule);
      return;
    }
    case 'D': {
      const index = rules.indexOf(rest);
      if (index < 0) throw new Error(`no such rule: ${line}`);
      rules.splice(index, 1);
      return;
    }
    case 'X': {
      const isUsed = [...chains.values()].some((all) => all.some((rule) => rule.endsWith(`-j ${chain}`)));
      if (rules.length > 0 || isUsed) throw new Error(`in use: ${line}`);
      chains.delete(chain);
      return;
    }
    default:
      throw new Error(`what is ${line}?`);
  }
}
