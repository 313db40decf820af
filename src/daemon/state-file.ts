import { rmSync } from 'node:fs';
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { Prefix } from '../net/prefix.ts';
import { printable } from '../printable.ts';

/** What iptables made along with Corduroy's chain. */
const byproducts = z.object({ filterTable: z.boolean(), forwardChain: z.boolean() });

const prefix = z.string().transform((text, context) => {
  try {
    return Prefix.parse(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
    return z.NEVER;
  }
});

/** What a daemon has put on this host beyond what bears its mark: kept in the run-dir for the next daemon and `down`. */
const schema = z.object({
  version: z.literal(1),
  /** The subnet.env that was written, and what was written: with another content it is somebody else's. */
  subnetFile: z.object({ path: z.string(), content: z.string() }).optional(),
  /** Folders that were created, topmost first. */
  folders: z.array(z.string()),
  /** The overlay's networks: routes to them may lead to nothing that could bear a mark. */
  networks: z.array(prefix).default([]),
  /** Of versions that had no others of that kind: blackhole routes, as formatRoute writes them. */
  blackholes: z.array(z.string()).optional(),
  /** Process id of the data plane, to be ended when its socket does not answer. */
  enginePid: z.number().int().positive().optional(),
  /** Of each family, once firewall rules of it may have been set: IPv4, IPv6. */
  firewall: byproducts.optional(),
  firewall6: byproducts.optional(),
});

export type HostRecord = Omit<z.infer<typeof schema>, 'blackholes'>;

/** @returns whether the file was there with the content that was written, and is gone now */
export function removeIfOwn({ path, content }: NonNullable<HostRecord['subnetFile']>): boolean {
  if (readIfThere(path) !== content) return false;
  rmSync(path);
  return true;
}

export const EMPTY_RECORD: HostRecord = {
  version: 1,
  folders: [],
  networks: [],
};

/** @returns an empty record where there is none, or none that can be read, with the reason */
export function readHostRecord(path: string): { record: HostRecord; problem?: string } {
  const text = readIfThere(path);
  if (text === undefined) return { record: EMPTY_RECORD };
  try {
    const { blackholes, ...record } = schema.parse(JSON.parse(text));
    return { record: { ...record, networks: [...record.networks, ...destinationsOf(blackholes ?? [])] } };
  } catch (error) {
    return {
      record: EMPTY_RECORD,
      problem: `${path} cannot be understood and is not used: ${printable(messageOf(error))}`,
    };
  }
}

function destinationsOf(blackholes: readonly string[]): Prefix[] {
  return blackholes.flatMap((text) => {
    const [, destination] = /^blackhole (\S+)/.exec(text) ?? [];
    return destination === undefined ? [] : [Prefix.parse(destination)];
  });
}

export function writeHostRecord(path: string, record: HostRecord): void {
  writeAtomically(path, `${JSON.stringify(record)}\n`, 0o600);
}
