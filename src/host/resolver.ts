import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds that a name server has to answer. */
const TIMEOUT = 2000;

/**
 * Looks names up, and waits for no answer longer than its time. The system's lookup cannot be called off: it goes on, and
 * those of this process, etcd's client's too, stand in one queue of which libuv serves two at a time. So of each name
 * there is one under way.
 */
export class Resolver {
  readonly #lookup: (name: string) => Promise<readonly string[]>;
  readonly #timeout: number;
  readonly #underWay = new Map<string, Promise<readonly string[]>>();

  /** @param timeout milliseconds */
  constructor(lookup: (name: string) => Promise<readonly string[]>, timeout = TIMEOUT) {
    this.#lookup = lookup;
    this.#timeout = timeout;
  }

  /** @returns none when the name cannot be resolved, or not in time */
  async resolve(name: string): Promise<readonly string[]> {
    let answer = this.#underWay.get(name);
    if (answer === undefined) {
      answer = this.#lookup(name)
        .catch(() => [])
        .finally(() => this.#underWay.delete(name));
      this.#underWay.set(name, answer);
    }
    return await Promise.race([answer, sleep(this.#timeout, [], { ref: false })]);
  }
}
