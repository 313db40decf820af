import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { CommandState, OperatorCommand } from '../backend/backend.ts';
import { CorduroyError } from '../errors.ts';
import type { Log } from '../observe/log.ts';
import { describeStep, isStarted, planCommands, planLeave, type Step, stepId } from './command-plan.ts';
import {
  type CommandRecord,
  emptyCommandRecord,
  isEmptyRecord,
  readCommandRecord,
  writeCommandRecord,
} from './command-record.ts';
import type { OperatorCommands } from './daemon-parts.ts';
import { type Run, runOperatorCommand } from './operator-command.ts';

export interface CommandKeeperOptions {
  /** Of the record. */
  readonly path: string;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Milliseconds that a command has; for tests. */
  readonly timeout?: number;
}

/** Milliseconds that a round waits: for the start command, without which there is nothing else to do, and for the others. */
const PATIENCE = { start: 2000, others: 500 } as const;
/** Milliseconds between rounds that ask how far the commands are. */
const ASK_AGAIN = 250;
/** Milliseconds before a command that has failed is tried again: after the first time, and at the most. */
const PAUSE = { first: 1000, longest: 60_000 } as const;
/** How often a command that takes something away is tried: what it is to take away may be gone already. */
const REMOVAL_TRIES = 5;
/** Milliseconds between writes of the record: what has succeeded since is cleaned up and run again after a crash. */
const WRITE_EVERY = 200;
/** Milliseconds that a command in progress has to end when the daemon does. */
const CLOSE_PATIENCE = 5000;

interface Failure {
  readonly times: number;
  readonly retryAt: number;
  /** One sentence. */
  readonly text: string;
}

/**
 * Runs the operator's commands of the extension backend, one after the other beside the daemon's rounds, and keeps a
 * record of which have been run. A daemon that ends leaves everything as it is, and the next one goes on from the record.
 */
export class CommandKeeper implements OperatorCommands {
  readonly #options: CommandKeeperOptions;
  readonly #ending = new AbortController();
  #record: CommandRecord;
  #wish: CommandState | undefined;
  #working: Promise<void> | undefined;
  #starting: { readonly command: OperatorCommand; readonly printed: Promise<string> } | undefined;
  /** Nothing more is begun for the last wish. */
  #halted = false;
  #closing = false;
  /** By `stepId`. */
  readonly #failures = new Map<string, Failure>();
  /** Peers, by key, that are on record as begun and have not been: there is nothing to take away yet. */
  readonly #untried = new Set<string>();
  #fault: unknown;
  #isOnDisk: boolean;
  #writtenAt = Number.NEGATIVE_INFINITY;

  constructor(options: CommandKeeperOptions) {
    this.#options = options;
    const { record, problem } = readCommandRecord(options.path);
    if (problem !== undefined) options.log.warn(problem);
    this.#record = record;
    this.#isOnDisk = !isEmptyRecord(record);
  }

  get isStarted(): boolean {
    return isStarted(this.#record, this.#wish);
  }

  get dueAt(): number {
    if (this.#working !== undefined || this.#starting !== undefined) return this.#options.now() + ASK_AGAIN;
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.#failures.values()].map(({ retryAt }) => retryAt));
  }

  /**
   * Not run again while its record is there, for what the other commands did stands on it. Another one than before ends
   * all that first.
   */
  async start(command: OperatorCommand): Promise<string> {
    const { printed } = this.#record;
    if (printed !== undefined && isDeepStrictEqual(printed.command, command)) return printed.text;
    const failure = this.#failures.get(stepId({ do: 'start', command }));
    if (failure !== undefined && this.#options.now() < failure.retryAt) throw errorOf(failure.text);
    this.#starting ??= { command, printed: this.#start(command) };
    const { command: running, printed: text } = this.#starting;
    if (!isDeepStrictEqual(running, command)) throw errorOf(`another ${running.option} has not ended yet`);
    const late = sleep(PATIENCE.start, undefined, { ref: false }).then(() => {
      throw errorOf(`${command.option} has not ended yet`);
    });
    return await Promise.race([text, late]);
  }

  async ensure(wish: CommandState | undefined): Promise<void> {
    this.#wish = wish;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
    await Promise.race([this.#working, sleep(PATIENCE.others, undefined, { ref: false })]);
    if (this.#fault !== undefined) throw this.#fault;
    const [first, ...others] = this.#failures.values();
    if (first === undefined) return;
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
    throw errorOf(`${first.text}${more}. Trying again`);
  }

  /** Resolves when nothing runs any more: what is running ends, in time or not. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#halted = true;
    const timer = setTimeout(() => this.#ending.abort(), CLOSE_PATIENCE);
    await Promise.allSettled([this.#working, this.#starting?.printed]);
    clearTimeout(timer);
    for (const key of this.#untried) delete this.#record.peers[key];
    this.#write();
  }

  async #start(command: OperatorCommand): Promise<string> {
    try {
      this.#halted = true;
      await this.#working;
      for (const old of planLeave(this.#record)) {
        this.#requireOpen();
        if (old.command !== undefined && !this.#isUntried(old)) await this.#run(old, old.command);
      }
      this.#requireOpen();
      this.#untried.clear();
      this.#record = emptyCommandRecord();
      this.#write();
      this.#halted = this.#closing;
      const step: Step = { do: 'start', command };
      const { failure, printed } = await this.#run(step, command);
      if (failure !== undefined) {
        this.#failed(step, failure);
        throw errorOf(failure);
      }
      this.#failures.clear();
      this.#record = { ...this.#record, printed: { command, text: printed } };
      this.#write();
      return printed;
    } finally {
      this.#starting = undefined;
    }
  }

  /** What is on record is left to the next daemon, or to `corduroy down`. @throws CorduroyError while this one ends */
  #requireOpen(): void {
    if (this.#closing) throw errorOf('corduroyd ends');
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    try {
      await this.#starting?.printed.catch(() => undefined);
      this.#fault = undefined;
      while (await this.#pass()) this.#write(); // There was something to do, and there may be more by now.
    } catch (error) {
      this.#fault = error;
    }
  }

  /** @returns whether it is worth while to plan again */
  async #pass(): Promise<boolean> {
    const wish = this.#wish;
    this.#keepShutdown(wish);
    const steps = planCommands(this.#record, wish);
    const byId = new Map(steps.map((step) => [stepId(step), step]));
    for (const id of this.#failures.keys()) if (!byId.has(id)) this.#failures.delete(id);
    const due = [...byId].filter(([id]) => (this.#failures.get(id)?.retryAt ?? 0) <= this.#options.now());
    this.#announce(due);
    for (const [id, step] of due) {
      if (this.#halted) return false;
      if (this.#wish !== wish) return true;
      await this.#take(id, step);
    }
    return due.length > 0;
  }

  /** Whoever finds a peer so on record does not know how much of it there is. */
  #announce(steps: readonly (readonly [string, Step])[]): void {
    const { peers } = this.#record;
    for (const [, step] of steps) {
      if (step.do !== 'add' || step.command === undefined) continue;
      const before = peers[step.key];
      if (before === undefined) this.#untried.add(step.key);
      peers[step.key] = { ...(before ?? step.peer), done: false };
    }
    if (steps.length > 0) this.#write();
  }

  async #take(id: string, step: Step): Promise<void> {
    const isUntried = this.#isUntried(step);
    if (step.do === 'add') {
      this.#untried.delete(step.key);
      if (step.clean !== undefined && !isUntried) await this.#run(step, step.clean);
      if (step.command !== undefined) this.#record.peers[step.key] = { ...step.peer, done: false };
      this.#save();
    }
    const isNothing = step.command === undefined || (step.do === 'remove' && isUntried);
    const { failure } = isNothing ? {} : await this.#run(step, step.command);
    if (failure !== undefined) {
      const times = this.#failed(step, failure);
      const isRemoval = step.do === 'remove' || step.do === 'shutdown';
      if (!isRemoval || times < REMOVAL_TRIES || this.#ending.signal.aborted) return;
      this.#options.log.warn(`${failure}. It is not tried again after ${times} times`);
    }
    this.#failures.delete(id);
    this.#done(step);
    this.#save();
  }

  #isUntried(step: Step): boolean {
    return 'key' in step && this.#untried.has(step.key);
  }

  /** Of thousands of peers, no other is looked at. */
  #done(step: Step): void {
    switch (step.do) {
      case 'start':
        this.#record.started = step.command;
        break;
      case 'add':
        this.#record.peers[step.key] = { ...step.peer, done: true };
        break;
      case 'remove':
        this.#untried.delete(step.key);
        delete this.#record.peers[step.key];
        break;
      case 'shutdown':
        this.#record = emptyCommandRecord();
    }
  }

  async #run(step: Step, command: OperatorCommand): Promise<Run> {
    const { log, timeout } = this.#options;
    const what = describeStep({ ...step, command });
    const isRepeated = this.#failures.has(stepId(step));
    return await runOperatorCommand(what, command, {
      say: (line) => (isRepeated ? log.debug(line) : log.info(line)),
      signal: this.#ending.signal,
      ...(timeout !== undefined && { timeout }),
    });
  }

  /** @returns how often by now */
  #failed(step: Step, text: string): number {
    const id = stepId(step);
    const times = (this.#failures.get(id)?.times ?? 0) + 1;
    const pause = Math.min(PAUSE.first * 2 ** (times - 1), PAUSE.longest);
    this.#failures.set(id, { times, retryAt: this.#options.now() + pause, text });
    return times;
  }

  /** It is known as long as it may be needed, also to `corduroy down`. */
  #keepShutdown(wish: CommandState | undefined): void {
    if (wish === undefined || isDeepStrictEqual(wish.shutdown, this.#record.shutdown)) return;
    const { shutdown: _, ...record } = this.#record;
    this.#record = { ...record, ...(wish.shutdown && { shutdown: wish.shutdown }) };
    this.#save();
  }

  /** Not at once on disk, where it would be a thousand times for a thousand peers. */
  #save(): void {
    if (this.#options.now() - this.#writtenAt >= WRITE_EVERY) this.#write();
  }

  #write(): void {
    if (isEmptyRecord(this.#record) && !this.#isOnDisk) return;
    writeCommandRecord(this.#options.path, this.#record);
    this.#isOnDisk = true;
    this.#writtenAt = this.#options.now();
  }
}

function errorOf(text: string): CorduroyError {
  return new CorduroyError('host-command', text, { retryable: true });
}
