import { z } from 'zod';
import type { OperatorCommand } from '../backend/backend.ts';
import { messageOf } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { printable } from '../printable.ts';

const command: z.ZodType<OperatorCommand> = z.object({
  option: z.string(),
  line: z.string(),
  environment: z.record(z.string(), z.string()),
  input: z.string(),
});

/**
 * Which of the operator's commands have been run on this host since it was started, with all that is needed to run their
 * counterparts. In the run-dir: what commands make in the kernel does not survive a reboot either.
 */
const schema = z.object({
  version: z.literal(1),
  /** The kernel's boot id, for a run-dir that does survive. */
  boot: z.string(),
  /** The start command, and what it printed. */
  printed: z.object({ command, text: z.string() }).optional(),
  started: command.optional(),
  /** By the key of the lease. */
  peers: z.record(
    z.string(),
    z.object({
      added: command.optional(),
      removed: command.optional(),
      /** Whether `added` has succeeded. Until then nobody knows how much of it there is. */
      done: z.boolean(),
    }),
  ),
  shutdown: command.optional(),
});

export type CommandRecord = z.infer<typeof schema>;
export type RecordedPeer = CommandRecord['peers'][string];

export function emptyCommandRecord(): CommandRecord {
  return { version: 1, boot: bootId(), peers: {} };
}

/** @returns an empty record where there is none of this boot, or none that can be read, with the reason */
export function readCommandRecord(path: string): { record: CommandRecord; problem?: string } {
  const text = readIfThere(path);
  const none = emptyCommandRecord();
  if (text === undefined) return { record: none };
  try {
    const record = schema.parse(JSON.parse(text));
    return { record: record.boot === none.boot ? record : none };
  } catch (error) {
    const why = printable(messageOf(error));
    return { record: none, problem: `${path} cannot be understood: commands are run anew (${why})` };
  }
}

/** Only root reads it: the operator's lines may hold secrets. @throws CorduroyError `host-file` */
export function writeCommandRecord(path: string, record: CommandRecord): void {
  writeAtomically(path, `${JSON.stringify(record)}\n`, 0o600);
}

export function isEmptyRecord({ printed, started, peers, shutdown }: CommandRecord): boolean {
  return [printed, started, shutdown].every((one) => one === undefined) && Object.keys(peers).length === 0;
}

function bootId(): string {
  return readIfThere('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
}
