import { rmSync } from 'node:fs';
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { printable } from '../printable.ts';

/** What a daemon has put on this host beyond what bears its mark: kept in the run-dir for the next daemon and `down`. */
const schema = z.object({
  version: z.literal(1),
  /** The subnet.env that was written, and what was written: with another content it is somebody else's. */
  subnetFile: z.object({ path: z.string(), content: z.string() }).optional(),
  /** Folders that were created, topmost first. */
  folders: z.array(z.string()),
  /** Blackhole routes, as formatRoute writes them: they lead to no device that could bear a mark. */
  blackholes: z.array(z.string()),
  /** Process id of the data plane, to be ended when its socket does not answer. */
  enginePid: z.number().int().positive().optional(),
  firewall: z.object({ filterTable: z.boolean(), forwardChain: z.boolean() }),
});

export type HostRecord = z.infer<typeof schema>;

/** @returns whether the file was there with the content that was written, and is gone now */
export function removeIfOwn({ path, content }: NonNullable<HostRecord['subnetFile']>): boolean {
  if (readIfThere(path) !== content) return false;
  rmSync(path);
  return true;
}

export const EMPTY_RECORD: HostRecord = {
  version: 1,
  folders: [],
  blackholes: [],
  firewall: { filterTable: false, forwardChain: false },
};

/** @returns an empty record where there is none, or none that can be read, with the reason */
export function readHostRecord(path: string): { record: HostRecord; problem?: string } {
  const text = readIfThere(path);
  if (text === undefined) return { record: EMPTY_RECORD };
  try {
    return { record: schema.parse(JSON.parse(text)) };
  } catch (error) {
    return {
      record: EMPTY_RECORD,
      problem: `${path} cannot be understood and is not used: ${printable(messageOf(error))}`,
    };
  }
}

export function writeHostRecord(path: string, record: HostRecord): void {
  writeAtomically(path, `${JSON.stringify(record)}\n`, 0o600);
}
