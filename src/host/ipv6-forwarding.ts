import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CorduroyError, messageOf } from '../errors.ts';
import { readIfThere } from './atomic-file.ts';
import { run } from './exec.ts';
import { type LinkRecord, readLinks } from './observe.ts';

/** Where the kernel has its IPv6 settings. */
const SETTINGS = '/proc/sys/net/ipv6/conf';

/** Whether the kernel has IPv6 at all. */
export function hasIpv6(): boolean {
  return existsSync(SETTINGS);
}

/** Whether the kernel has a setting of its own for each device, force_forwarding. */
export function forwardsByDevice(): boolean {
  return existsSync(join(SETTINGS, 'all/force_forwarding'));
}

/** What makes it forward what comes in by an interface: for an operator, who knows what else that may need. */
export function ipv6ForwardingCommand(name: string): string {
  return forwardsByDevice() ? `sysctl -w net/ipv6/conf/${name}/force_forwarding=1` : FORWARD_ALL;
}

/** Whether IPv6 packets that come in by an interface may leave by another one. */
export function forwardsIpv6(name: string): boolean {
  const isOn = (setting: string) => readIfThere(join(SETTINGS, setting))?.trim() === '1';
  return isOn('all/forwarding') || isOn(`${name}/force_forwarding`);
}

/**
 * Has the kernel forward IPv6 between all interfaces. Linux before 6.17 knows nothing narrower, and an interface that
 * forwards is a router's: it takes no advertisement of another router any more, and the default routes it has from them
 * are deleted at once, unless its accept_ra is 2 by then. So those that take them now go on: the host's way out is theirs.
 *
 * @returns what was changed, `undefined` when it did so already
 * @throws CorduroyError `host-command`
 */
export async function forwardAllIpv6(): Promise<string | undefined> {
  const all = join(SETTINGS, 'all/forwarding');
  const now = readIfThere(all)?.trim();
  if (now === undefined) {
    const text = 'the network has IPv6, and the kernel of this host does not: boot it without ipv6.disable=1';
    throw new CorduroyError('host-command', text, { retryable: true });
  }
  if (now === '1') return undefined;
  try {
    return await switchOn(all);
  } catch (error) {
    const text = `IPv6 forwarding cannot be switched on: ${messageOf(error)}. It takes: ${FORWARD_ALL}`;
    throw new CorduroyError('host-command', text, { retryable: true, cause: error });
  }
}

const FORWARD_ALL = 'sysctl -w net.ipv6.conf.all.forwarding=1';

async function switchOn(all: string): Promise<string> {
  const kept = await followRouters();
  await writeFile(all, '1');
  return [`sysctl net.ipv6.conf.all.forwarding=1`, ...kept].join(', ');
}

/**
 * Has this host take routers' advertisements where it does now, also once it forwards IPv6 on all interfaces: with
 * accept_ra=2. Docker up to 27 and the bridge plugin of CNI switch that on with the first network, or container, of IPv6.
 *
 * @returns what was changed, one phrase each
 */
export async function followRouters(): Promise<string[]> {
  const { stdout } = await run('ip', ['-j', '-6', 'route', 'show', 'default', 'proto', 'ra']);
  const routes = stdout.trim() === '' ? [] : (JSON.parse(stdout) as { readonly dev?: string }[]);
  const routed = routes.flatMap(({ dev }) => dev ?? []);
  const changed: string[] = [];
  for (const name of mayFollow(await readLinks(), routed))
    if (await keepFollowing(name)) changed.push(`net.ipv6.conf.${name}.accept_ra=2`);
  return changed;
}

/**
 * The interfaces that a router may be behind. What is behind a bridge are containers, as a rule, and none of them is to
 * become this host's router; one that has a default route from there is the host's own.
 */
export function mayFollow(links: readonly LinkRecord[], routed: readonly string[]): string[] {
  return links
    .filter(
      ({ ifname, flags, linkinfo }) =>
        routed.includes(ifname) || (!flags.includes('LOOPBACK') && linkinfo?.info_kind !== 'bridge'),
    )
    .map(({ ifname }) => ifname);
}

/** @returns whether that had to be changed */
async function keepFollowing(name: string): Promise<boolean> {
  const setting = (key: string) => join(SETTINGS, name, key);
  const read = async (key: string) => (await readFile(setting(key), 'utf8')).trim();
  try {
    // Where it is 1 and the interface forwards, advertisements are ignored already.
    if ((await read('accept_ra')) !== '1' || (await read('forwarding')) !== '0') return false;
    await writeFile(setting('accept_ra'), '2');
    return true;
  } catch (error) {
    // It is gone since, or has no IPv6.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
