/** Lets one loop sleep until there is something to do; any number of calls while it works count as one. */
export class Wake {
  #pending = false;
  #resume: (() => void) | undefined;

  now(): void {
    this.#pending = true;
    this.#resume?.();
  }

  /** Resolves at the next `now()`, at once if there was one since the last call, or after the time has passed. */
  async wait(milliseconds: number): Promise<void> {
    if (!this.#pending) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(Math.max(milliseconds, 0), MAX_TIMEOUT));
        this.#resume = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#resume = undefined;
    }
    this.#pending = false;
  }
}

/** setTimeout takes a signed 32-bit number of milliseconds. */
const MAX_TIMEOUT = 2 ** 31 - 1;
