import { setTimeout as sleep } from 'node:timers/promises';
import { CorduroyError, messageOf } from '../../errors.ts';
import type { ContainerSetup } from '../container-setup.ts';
import { formatSubnetEnv, type SubnetEnv } from '../subnet-env.ts';

/** What a look at Docker has found. */
export interface Finding {
  /** What only somebody else can mend: what differs, and the command that mends it. */
  readonly problem?: string;
  /** Something is on its way: look again soon. */
  readonly pending?: true;
}

/** Looks at Docker, and does what is Corduroy's to do. */
export type Look = (subnet: SubnetEnv) => Promise<Finding>;

/** Milliseconds between two looks: rounds may follow each other faster, whatever has changed. */
const LOOK_EVERY = 500;
/** Milliseconds that a round waits for a look; one that takes longer reports in a later round. */
const PATIENCE = 500;
/** Milliseconds until another look, while something is on its way, or is wrong: nothing tells that it is over. */
const LOOK_AGAIN = { pending: 1000, wrong: 5000 } as const;

/**
 * Looks at Docker in the daemon's rounds. A dockerd that hangs, or is busy with something else, must not keep the rounds
 * from mending the network: a look goes on beside them.
 */
export class DockerSetup implements ContainerSetup {
  readonly name = 'docker';
  readonly #look: Look;
  readonly #now: () => number;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #subject = '';
  #looking: Promise<void> | undefined;
  #problem: Error | undefined;
  #pending = false;
  /** A round came too early for a look: what it was called for may not have been seen. */
  #skipped = false;

  /** @param now monotonic milliseconds */
  constructor(look: Look, now: () => number = () => performance.now()) {
    this.#look = look;
    this.#now = now;
  }

  get dueIn(): number {
    if (this.#skipped) return LOOK_EVERY;
    if (this.#pending || this.#looking !== undefined) return LOOK_AGAIN.pending;
    return this.#problem === undefined ? Number.POSITIVE_INFINITY : LOOK_AGAIN.wrong;
  }

  async ensure(subnet: SubnetEnv): Promise<void> {
    const subject = formatSubnetEnv(subnet);
    const isDue = subject !== this.#subject || this.#now() - this.#lookedAt >= LOOK_EVERY;
    this.#skipped = !isDue || this.#looking !== undefined;
    if (!this.#skipped) {
      this.#subject = subject;
      this.#looking = this.#renew(subnet);
    }
    await Promise.race([this.#looking, sleep(PATIENCE, undefined, { ref: false })]);
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** Never rejects. */
  async #renew(subnet: SubnetEnv): Promise<void> {
    try {
      const { problem, pending } = await this.#look(subnet);
      this.#problem = problem === undefined ? undefined : new CorduroyError('docker', problem);
      this.#pending = pending === true;
    } catch (error) {
      this.#problem = error instanceof Error ? error : new Error(messageOf(error));
      this.#pending = false;
    } finally {
      this.#lookedAt = this.#now();
      this.#looking = undefined;
    }
  }
}
