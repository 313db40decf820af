import type { TxChecksum } from './options.ts';

/**
 * The first release of Linux whose NAT leaves a UDP checksum of 0 alone (its change "netfilter: nat: never update the UDP
 * checksum when it's 0").
 */
const MENDED = { major: 5, minor: 7 };

/**
 * Whether a VXLAN device may leave checksums to be filled in later; `undefined`: as the kernel made it, which is yes.
 *
 * Before Linux 5.7, a packet that was masqueraded on its way into the tunnel, and whose checksum was still to be filled
 * in, left with a wrong outer checksum, and the receiver dropped it: connections hung for 63 seconds. Stable
 * releases have the change from 4.14.181, 4.19.123, 5.4.41 and 5.6.13 on, and distributions in versions that say nothing
 * of it: below 5.7, `auto` is on the safe side.
 *
 * @param kernel release, `6.1.0-18-amd64`; absent or of another form: taken to be new
 */
export function txChecksumFor(wish: TxChecksum, kernel: string | undefined): boolean | undefined {
  if (wish !== 'auto') return wish === 'on';
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(kernel ?? '') ?? [];
  if (major === undefined) return undefined;
  const isOld =
    Number(major) < MENDED.major || (Number(major) === MENDED.major && Number(minor) < MENDED.minor);
  return isOld ? false : undefined;
}
