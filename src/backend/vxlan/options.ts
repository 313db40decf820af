import type { Document, Problem } from '../../config/document.ts';
import type { Checked } from '../../config/network-config.ts';
import type { Family } from '../../net/ip.ts';
import { smallestInner } from '../inner-mtu.ts';

/** Flannel's names, and `txChecksum`. */
export interface VxlanOptions {
  /** 1 … 16777215 */
  readonly vni: number;
  /** UDP. */
  readonly port: number;
  /** Bytes in the outer packet; absent: what the external interface takes. */
  readonly mtu: number | undefined;
  /** Group-based policy: containers' marks travel along. */
  readonly gbp: boolean;
  /** Whether the kernel may add FDB entries by the packets that come in. */
  readonly learning: boolean;
  readonly directRouting: boolean;
  readonly txChecksum: TxChecksum;
}

const TX_CHECKSUM = ['auto', 'on', 'off'] as const;
export type TxChecksum = (typeof TX_CHECKSUM)[number];

/** The kernel's, where no port is given. It is older than the 4789 that RFC 7348 was given. */
const KERNEL_PORT = 8472;

/** Outer IP, UDP, VXLAN and inner Ethernet headers. */
export const OVERHEAD: Readonly<Record<Family, number>> = { 4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14 };

export function parseVxlanOptions(options: Document, families: readonly Family[]): Checked<VxlanOptions> {
  const problems: Problem[] = [];
  const least = Math.max(...families.map((family) => OVERHEAD[family] + smallestInner([family])));
  const value: VxlanOptions = {
    vni: options.integer('VNI', problems, 1, 0xffffff) ?? 1,
    port: options.integer('Port', problems, 0, 0xffff) || KERNEL_PORT,
    mtu: options.integer('MTU', problems, least, 0xffff),
    gbp: options.boolean('GBP', problems) ?? false,
    learning: options.boolean('Learning', problems) ?? false,
    directRouting: options.boolean('DirectRouting', problems) ?? false,
    txChecksum: options.choice('TxChecksum', problems, TX_CHECKSUM) ?? 'auto',
  };
  const known = ['Type', 'VNI', 'Port', 'MTU', 'GBP', 'Learning', 'DirectRouting', 'TxChecksum'];
  return {
    value: problems.length === 0 ? value : undefined,
    problems,
    unknownKeys: options.keysBut(known),
  };
}
