import { readFileSync } from 'node:fs';

/** In /proc/net/dev, after the name: eight numbers of what came in, then bytes, packets, errors, drops of what went out. */
const OUT_DROPS = 11;

/**
 * Packets that the kernel dropped instead of handing them to whoever reads the TUN device, since the device was made: its
 * queue was full. `undefined` when there is no such device.
 *
 * @param devices the text of /proc/net/dev, which is of this process's network namespace
 */
export function queueDrops(
  name: string,
  devices = readFileSync('/proc/net/dev', 'utf8'),
): number | undefined {
  const line = devices.split('\n').find((each) => each.trim().startsWith(`${name}:`));
  const numbers = line
    ?.slice(line.indexOf(':') + 1)
    .trim()
    .split(/\s+/);
  const drops = Number(numbers?.[OUT_DROPS]);
  return Number.isNaN(drops) ? undefined : drops;
}
