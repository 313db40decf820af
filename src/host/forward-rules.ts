import type { Prefix } from '../net/prefix.ts';
import type { Chains } from './iptables.ts';

/**
 * What is to be forwarded whatever the policy of FORWARD is: Docker sets it to DROP, and an accept in another table does
 * not override that.
 */
export interface ForwardWish {
  /** The whole overlay, IPv4. */
  readonly network: Prefix;
  /** The tunnel device. */
  readonly device: string;
  /** Corduroy's own chain; jumps to it are Corduroy's, wherever they stand. */
  readonly chain: string;
}

/** Where Docker (17.06 and newer) has the rules of others: it comes before Docker's own, and Docker keeps what is in it. */
export const DOCKER_USER = 'DOCKER-USER';
const FORWARD = 'FORWARD';

/**
 * The lines for iptables-restore that make the filter table what it should be; none when it is.
 *
 * What comes from the tunnel or goes into it is accepted before any other rule, in FORWARD and in DOCKER-USER: the rules
 * of Docker 28 drop it otherwise. What goes between containers and the outside is accepted last, so that the rules of
 * others on it count; only a rule that decides on every packet is passed, it is the policy in another form.
 */
export function planForward(chains: Chains, { network, device, chain }: ForwardWish): string[] {
  const content = [`-s ${network} -j ACCEPT`, `-d ${network} -j ACCEPT`];
  const tunnel = [`-d ${network} -i ${device} -j ${chain}`, `-s ${network} -o ${device} -j ${chain}`];
  const dockerUser = chains.get(DOCKER_USER);
  const present = chains.get(chain);
  return [
    ...(present?.join('\n') === content.join('\n')
      ? []
      : [`:${chain} - [0:0]`, ...content.map((rule) => `-A ${chain} ${rule}`)]),
    ...planJumps(FORWARD, chains.get(FORWARD) ?? [], chain, tunnel, [`-j ${chain}`]),
    ...(dockerUser === undefined ? [] : planJumps(DOCKER_USER, dockerUser, chain, tunnel, [])),
  ];
}

/** What removes the chain and every jump to it. */
export function planForwardRemoval(chains: Chains, chain: string): string[] {
  const jumps = [...chains].flatMap(([place, rules]) =>
    rules.filter((rule) => leadsTo(rule, chain)).map((rule) => `-D ${place} ${rule}`),
  );
  // To be deleted it has to be empty: naming it empties it.
  return [...jumps, ...(chains.has(chain) ? [`:${chain} - [0:0]`, `-X ${chain}`] : [])];
}

/** Rules are deleted by what they say: a number may be another rule's by then. */
function planJumps(
  place: string,
  rules: readonly string[],
  chain: string,
  first: readonly string[],
  last: readonly string[],
): string[] {
  const ours = rules.filter((rule) => leadsTo(rule, chain));
  const wanted = [...first, ...last];
  const effective = beforeEnd(rules);
  if (ours.length === wanted.length && wanted.every((rule) => effective.includes(rule))) return [];
  const others = rules.filter((rule) => !leadsTo(rule, chain));
  const reached = beforeEnd(others).length;
  const append = reached === others.length ? `-A ${place}` : `-I ${place} ${first.length + reached + 1}`;
  return [
    ...ours.map((rule) => `-D ${place} ${rule}`),
    ...first.map((rule, index) => `-I ${place} ${index + 1} ${rule}`),
    ...last.map((rule) => `${append} ${rule}`),
  ];
}

/** The rules that packets get to: those up to one that decides on all that come to it. */
function beforeEnd(rules: readonly string[]): readonly string[] {
  const end = rules.findIndex((rule) => DECIDES_ALL.test(rule.replace(COMMENT, '')));
  return end < 0 ? rules : rules.slice(0, end);
}

const DECIDES_ALL = /^-j (ACCEPT|DROP|RETURN|REJECT( --reject-with \S+)?)$/;
const COMMENT = /-m comment --comment ("(\\.|[^"\\])*"|\S+) /;

function leadsTo(rule: string, chain: string): boolean {
  return ` ${rule}`.endsWith(` -j ${chain}`);
}
