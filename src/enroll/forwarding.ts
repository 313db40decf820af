import { writeFileSync } from 'node:fs';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { hasSetting } from './host-files.ts';
import type { HostLayout } from './layout.ts';

/** Read at every boot, see sysctl.d(5). `corduroy down` leaves it, as others may have come to rely on it. */
const FILE = '/etc/sysctl.d/60-corduroy.conf';
const SWITCH = '/proc/sys/net/ipv4/ip_forward';

/**
 * Makes the host forward packets, now and after every boot, if it is to masquerade: the daemon switches forwarding on
 * for its own devices only, and without it on the outside interface no answer from the world reaches a container.
 */
export function enableForwarding({ configFile }: HostLayout, say: (line: string) => void): void {
  if (!hasSetting(readIfThere(configFile), 'ip-masq', true)) return;
  const text = [
    '# Written by corduroy init or join: containers reach the world through this host. Without that:',
    `# set "ip-masq": false in ${configFile}, and remove this file.`,
    'net.ipv4.ip_forward = 1',
    '',
  ].join('\n');
  if (writeAtomically(FILE, text, 0o644).written)
    say(`forwarding is switched on, so that containers reach the world: ${FILE}`);
  // Written anew, the same value would reset the switches of all devices.
  if (readIfThere(SWITCH)?.trim() !== '1') writeFileSync(SWITCH, '1\n');
}
