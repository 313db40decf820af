import type { Prefix } from '../net/prefix.ts';
import type { Chains } from './iptables.ts';
import { type NftRule, namesSet } from './nft-rules.ts';

/**
 * What is to be forwarded whatever the policy of FORWARD is: Docker sets it to DROP, and an accept in another table does
 * not override that.
 */
export interface ForwardWish {
  /** The whole overlay, of one family. */
  readonly network: Prefix;
  /** What leads to other hosts and nowhere else. */
  readonly tunnels: readonly string[];
  /** The interface that packets go by plainly, among others of this host. */
  readonly underlay?: string | undefined;
  /** Corduroy's own chain; jumps to it are Corduroy's, wherever they stand. */
  readonly chain: string;
}

/** Where Docker (17.06 and newer) has the rules of others: it comes before Docker's own, and Docker keeps what is in it. */
export const DOCKER_USER = 'DOCKER-USER';
const FORWARD = 'FORWARD';

/**
 * The lines for iptables-restore that make the filter table what it should be; none when it is.
 *
 * What comes from a tunnel or goes into it, or goes from host to host plainly, is accepted before any other rule, in
 * FORWARD and in DOCKER-USER: the rules of Docker 28 drop it otherwise. What goes between containers and the outside is
 * accepted last, so that the rules of others on it count, those that are appended later, too; only a rule that decides on
 * every packet is passed, it is the policy in another form.
 */
export function planForward(chains: Chains, { network, tunnels, underlay, chain }: ForwardWish): string[] {
  const content = [`-s ${network} -j ACCEPT`, `-d ${network} -j ACCEPT`];
  const between = [
    ...tunnels.flatMap((device) => [`-d ${network} -i ${device}`, `-s ${network} -o ${device}`]),
    ...(underlay === undefined
      ? []
      : ['-i', '-o'].map((way) => `-s ${network} -d ${network} ${way} ${underlay}`)),
  ];
  // Where nobody tells by which devices, the addresses have to do.
  const first = (between.length > 0 ? between : [`-s ${network} -d ${network}`]).map(
    (match) => `${match} -j ${chain}`,
  );
  const dockerUser = chains.get(DOCKER_USER);
  const present = chains.get(chain);
  return [
    ...(present?.join('\n') === content.join('\n')
      ? []
      : [`:${chain} - [0:0]`, ...content.map((rule) => `-A ${chain} ${rule}`)]),
    ...planJumps(FORWARD, chains.get(FORWARD) ?? [], chain, first, [`-j ${chain}`]),
    ...(dockerUser === undefined ? [] : planJumps(DOCKER_USER, dockerUser, chain, first, [])),
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

/**
 * Only what does not stand right is put anew: a rule that somebody has put in front of the first stays there. Rules are
 * deleted by what they say: a number may be another rule's by then.
 */
function planJumps(
  place: string,
  rules: readonly string[],
  chain: string,
  first: readonly string[],
  last: readonly string[],
): string[] {
  const effective = beforeEnd(rules);
  const standRight = (jumps: readonly string[]) =>
    jumps.every((jump) => effective.includes(jump) && rules.indexOf(jump) === rules.lastIndexOf(jump));
  const right = [
    ...(standRight(first) ? first : []),
    ...(standRight(last) && isEnd(effective, last) ? last : []),
  ];
  const misplaced = rules.filter((rule) => leadsTo(rule, chain) && !right.includes(rule));
  const missing = (jumps: readonly string[]) => jumps.filter((jump) => !right.includes(jump));
  const others = [...missing(first), ...rules.filter((rule) => !misplaced.includes(rule))];
  const reached = beforeEnd(others).length;
  const append = reached === others.length ? `-A ${place}` : `-I ${place} ${reached + 1}`;
  return [
    ...misplaced.map((rule) => `-D ${place} ${rule}`),
    ...missing(first).map((rule, index) => `-I ${place} ${index + 1} ${rule}`),
    ...missing(last).map((rule) => `${append} ${rule}`),
  ];
}

/** Whether only what wants to be last, too, comes behind: the jumps of other instances. */
function isEnd(rules: readonly string[], last: readonly string[]): boolean {
  return last.every((jump) => rules.slice(rules.indexOf(jump) + 1).every((rule) => INSTANCE_JUMP.test(rule)));
}

const INSTANCE_JUMP = /-j CORDUROY(-[A-Z0-9]+)?-FORWARD$/;

/** The rules that packets get to: those up to one that decides on all that come to it. */
function beforeEnd(rules: readonly string[]): readonly string[] {
  const end = rules.findIndex(decidesAll);
  return end < 0 ? rules : rules.slice(0, end);
}

/** Whether iptables shows a rule as one that decides on all packets, and nft as one that does so for a set. */
export function isMisread(chains: Chains, made: readonly NftRule[]): boolean {
  return [FORWARD, DOCKER_USER].some((place) => {
    const those = made.filter(({ chain }) => chain === place);
    return chains.get(place)?.some((rule, index) => {
      const one = those[index];
      return decidesAll(rule) && one !== undefined && namesSet(one);
    });
  });
}

function decidesAll(rule: string): boolean {
  return DECIDES_ALL.test(rule.replace(COMMENT, ''));
}

const DECIDES_ALL = /^-j (ACCEPT|DROP|RETURN|REJECT( --reject-with \S+)?)$/;
const COMMENT = /-m comment --comment ("(\\.|[^"\\])*"|\S+) /;

function leadsTo(rule: string, chain: string): boolean {
  return ` ${rule}`.endsWith(` -j ${chain}`);
}
