import { CorduroyError } from '../errors.ts';
import { runBatch } from './batch.ts';
import { enumerate } from './enumerate.ts';
import { observeHost } from './observe.ts';
import { passObstacles } from './obstacles.ts';
import type { Ownership } from './ownership.ts';
import { type HostPlan, planHost, planRemoval } from './plan.ts';
import type { HostState, ObservedHost, WireguardLink } from './state.ts';
import { ensureSysctls } from './sysctls.ts';

/** Makes WireGuard devices, and keeps their keys and peers right. */
export interface WireguardTools {
  readonly create: (name: string, mark: string) => Promise<void>;
  /** @returns what was changed, one line each */
  readonly ensure: (link: WireguardLink) => Promise<string[]>;
}

/**
 * A second look puts back what went along with what had to go, and gives a device addresses of a family that the kernel
 * had switched off there; a third one verifies.
 */
const PASSES = 3;

/**
 * Makes the host what it should be: reads, compares, changes the difference, until there is none. What fails keeps nothing
 * else from being done.
 *
 * @param look is shown what the host was like before
 * @returns what was changed, one line each; empty when all was right
 * @throws CorduroyError `host-command` naming what could not be brought about, `host-in-part` if that concerns single hosts
 *   alone, or `foreign-object`
 */
export async function reconcileHost(
  wanted: HostState,
  own: Ownership,
  wireguard: WireguardTools,
  look: (found: ObservedHost) => void = () => undefined,
): Promise<string[]> {
  const changes: string[] = [];
  let complaint = '';
  let failedBefore: unknown;
  for (let pass = 1; ; pass++) {
    let found = await observeHost(own.protocol, wanted.links);
    if (pass === 1) look(found);
    const { wanted: possible, obstacle } = passObstacles(wanted, found, own);
    const attempts = new Attempts(obstacle);
    const created = await attempts.make(() => createWireguard(possible, found, own, wireguard));
    if (created.length > 0) found = await observeHost(own.protocol, wanted.links);
    const plan = planHost(possible, found, own);
    const failure = attempts.failure ?? failedBefore;
    const lines = [...plan.devices, ...plan.ways];
    if (pass === PASSES && lines.length > 0) throw failure ?? stillToDo(lines, complaint, plan.isInPart);
    const { changed, said } = await carryOut(plan, possible, wireguard, attempts);
    complaint = said || complaint;
    failedBefore = attempts.failure;
    changes.push(...created, ...changed);
    if (created.length + changed.length > 0 && pass < PASSES) continue;
    if (attempts.failure !== undefined) throw attempts.failure;
    return changes;
  }
}

async function carryOut(
  { devices, ways }: HostPlan,
  { sysctls, links }: HostState,
  wireguard: WireguardTools,
  attempts: Attempts,
): Promise<{ changed: string[]; said: string }> {
  const complaints = [await runBatch(devices)];
  const set = await attempts.make(() => ensureSysctls(sysctls));
  for (const link of links) {
    if (link.kind === 'wireguard') set.push(...(await attempts.make(() => wireguard.ensure(link))));
  }
  complaints.push(await runBatch(ways));
  return { changed: [...devices, ...set, ...ways], said: complaints.filter(Boolean).join(', ') };
}

/** @returns what was made */
async function createWireguard(
  { links }: HostState,
  found: ObservedHost,
  { mark }: Ownership,
  wireguard: WireguardTools,
): Promise<string[]> {
  const names = new Set(found.links.map(({ name }) => name));
  const missing = links.filter(({ kind, name }) => kind === 'wireguard' && !names.has(name));
  for (const { name } of missing) await wireguard.create(name, mark);
  return missing.map(({ name }) => `link add name ${name} type wireguard`);
}

/** Keeps the first failure for the end. */
class Attempts {
  failure: unknown;

  /** @param failure what has failed before */
  constructor(failure: unknown) {
    this.failure = failure;
  }

  async make(change: () => Promise<string[]>): Promise<string[]> {
    try {
      return await change();
    } catch (error) {
      this.failure ??= error;
      return [];
    }
  }
}

function stillToDo(lines: readonly string[], said: string, isInPart: boolean): CorduroyError {
  const text = `the host does not become what it should be; still to do: ${enumerate(lines)}. The tools said: ${said}`;
  const code = isInPart ? 'host-in-part' : 'host-command';
  return new CorduroyError(code, `${text}${remedy(lines, said)}`, { retryable: true });
}

/** What the operator may do where it can be told. */
function remedy(lines: readonly string[], said: string): string {
  const find = (pattern: RegExp) =>
    lines.map((line) => pattern.exec(line)?.[1]).find((part) => part !== undefined);
  const kind = find(/^link add .* type (\S+)/);
  if (kind !== undefined && /Unknown device type|not supported/.test(said))
    return `. The kernel makes no ${kind} devices: modprobe ${kind}, or choose another backend`;
  if (find(/^link set dev (\S+) up$/) !== undefined && said.includes('Address already in use'))
    return '. Another program has its UDP port (ss -lunp), or a VXLAN with other options (ip -d link show type vxlan)';
  // A route of the same destination that bears another protocol number is never replaced.
  const prefix = find(/^route add (?:blackhole )?(\S+)/);
  return prefix !== undefined && said.includes('File exists')
    ? `. If another program has a route there, remove it: ip route show ${prefix}`
    : '';
}

/** Removes every link and route of this instance. @returns what was removed, one line each */
export async function removeFromHost(own: Ownership): Promise<string[]> {
  const lines = planRemoval(await observeHost(own.protocol), own);
  const complaint = await runBatch(lines);
  const left = planRemoval(await observeHost(own.protocol), own);
  if (left.length > 0) {
    const text = `could not be removed: ${enumerate(left)}. The tools said: ${complaint}`;
    throw new CorduroyError('host-command', text);
  }
  return lines;
}
