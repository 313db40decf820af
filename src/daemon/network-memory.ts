import { readFileSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { CorduroyError, messageOf } from '../errors.ts';
import { Prefix } from '../net/prefix.ts';
import { printable } from '../printable.ts';
import type { Entry, LeaseId, Revision } from '../store/store.ts';

/** The network as a daemon last saw it in etcd, and the subnets it used: what a start without etcd goes by. */
export interface RememberedNetwork {
  readonly savedAt: Date;
  /** Of the machine that saved it: a copied disk is not to be believed. */
  readonly nodeId: string;
  readonly hardware: string;
  /** Key under which the network is kept in etcd. */
  readonly prefix: string;
  readonly revision: Revision;
  /** In use on this host. */
  readonly subnets: readonly Prefix[];
  /** As read from etcd; they are checked on use, as those from etcd are. */
  readonly entries: readonly Entry[];
}

const revision = z
  .string()
  .regex(/^\d{1,19}$/)
  .transform(BigInt);
const schema = z.object({
  version: z.literal(1),
  savedAt: z.iso.datetime(),
  nodeId: z.string(),
  hardware: z.string(),
  prefix: z.string(),
  revision,
  subnets: z.array(z.string()).min(1).max(2),
  /** Key, value, creation, last write, etcd lease: an array each, for there may be ten thousand. */
  entries: z.array(z.tuple([z.string(), z.string(), revision, revision, z.string().nullable()])),
});

/** @returns `undefined` where there is none; the problem where there is one that cannot be used */
export function readNetworkMemory(path: string): { network?: RememberedNetwork; problem?: string } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    return { problem: `${path} cannot be read: ${messageOf(error)}` };
  }
  try {
    const { savedAt, nodeId, hardware, prefix, revision, subnets, entries } = schema.parse(JSON.parse(text));
    return {
      network: {
        nodeId,
        hardware,
        prefix,
        revision,
        savedAt: new Date(savedAt),
        subnets: subnets.map(Prefix.parse),
        entries: entries.map(([key, value, createRevision, modRevision, leaseId]) => ({
          key,
          value,
          createRevision,
          modRevision,
          leaseId: leaseId === null ? undefined : (leaseId as LeaseId),
        })),
      },
    };
  } catch (error) {
    return { problem: `${path} cannot be understood and is not used: ${printable(messageOf(error))}` };
  }
}

/** Why a memory must not be used on this machine for this network; `undefined`: it may. Its age is no reason. */
export function objectionTo(
  network: RememberedNetwork,
  own: Pick<RememberedNetwork, 'nodeId' | 'hardware' | 'prefix'>,
): string | undefined {
  if (network.nodeId !== own.nodeId || network.hardware !== own.hardware)
    return 'was saved by another machine';
  if (network.prefix !== own.prefix) return `is of another network, ${printable(network.prefix)}`;
  return undefined;
}

function format({ savedAt, revision, subnets, entries, ...rest }: RememberedNetwork): string {
  return JSON.stringify({
    version: 1,
    savedAt: savedAt.toISOString(),
    ...rest,
    revision: String(revision),
    subnets: subnets.map(String),
    entries: entries.map((entry) => [
      entry.key,
      entry.value,
      String(entry.createRevision),
      String(entry.modRevision),
      entry.leaseId ?? null,
    ]),
  });
}

/** Milliseconds from one write to the next at least; a large network, which takes long to write, has longer pauses. */
const SHORTEST_PAUSE = 200;
/** Of the time, at the most, for putting it together while the network changes all the time: nothing else goes on then. */
const SHARE_OF_TIME = 0.005;
/** Milliseconds from a write that failed to the next try. */
const RETRY_AFTER = 5000;

export interface NetworkMemoryOptions {
  readonly path: string;
  /** Called once for a row of writes that fail, with a sentence. */
  readonly onFailure: (problem: string) => void;
  /** Called when a write succeeded after that. */
  readonly onSuccess: () => void;
}

/**
 * Writes what is to be remembered: the first at once, and then the newest, with a pause between. A reader sees a
 * whole file, the old or the new, also after a power cut.
 */
export class NetworkMemory {
  readonly #options: NetworkMemoryOptions;
  #pending: (() => RememberedNetwork) | undefined;
  #working: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #failed = false;
  #pause = SHORTEST_PAUSE;
  #closing = false;

  constructor(options: NetworkMemoryOptions) {
    this.#options = options;
  }

  /** @param capture called when it is written: what came meanwhile is in it */
  save(capture: () => RememberedNetwork): void {
    this.#pending = capture;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** Resolves when what was given is on disk, or could not be written. Nothing may be given afterwards. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wake?.();
    await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#pending !== undefined) {
      await this.#write();
      if (this.#closing) return this.#write();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#pause);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  async #write(): Promise<void> {
    const capture = this.#pending;
    this.#pending = undefined;
    if (capture === undefined) return;
    const { path, onFailure, onSuccess } = this.#options;
    const temporary = `${path}.tmp`; // Always the same one: a process that was killed leaves one behind at the most.
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      const file = await open(temporary, 'w', 0o600);
      try {
        const startedAt = performance.now();
        const text = format(capture());
        this.#pause = Math.max(SHORTEST_PAUSE, (performance.now() - startedAt) / SHARE_OF_TIME);
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      if (this.#failed) onSuccess();
      this.#failed = false;
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      if (!this.#failed) onFailure(memoryError(path, error).message);
      this.#failed = true;
      this.#pause = RETRY_AFTER;
      this.#pending ??= capture; // Tried again after the pause.
    }
  }
}

function memoryError(path: string, cause: unknown): CorduroyError {
  return new CorduroyError(
    'host-file',
    `${path} cannot be written (${messageOf(cause)}): a daemon that starts while etcd is away will not know the network`,
    { cause },
  );
}
