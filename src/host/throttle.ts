/**
 * Has something done soon after it is asked for, and less and less often while it is asked for without end. What is
 * done may itself be followed by a request: that is answered soon, too, and then there is quiet.
 */
export class Throttle {
  readonly #act: () => void;
  readonly #shortest: number;
  readonly #longest: number;
  #timer: NodeJS.Timeout | undefined;
  #pause: number;
  #lastAt = Number.NEGATIVE_INFINITY;

  /**
   * @param shortest milliseconds from a request until it is done, which others that belong to it have to arrive
   * @param longest the same for a request that follows many others; after as long without one the shortest holds again
   */
  constructor(act: () => void, shortest: number, longest: number) {
    this.#act = act;
    this.#shortest = shortest;
    this.#longest = longest;
    this.#pause = shortest;
  }

  ask(): void {
    if (this.#timer !== undefined) return;
    if (performance.now() - this.#lastAt >= this.#longest) this.#pause = this.#shortest;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#lastAt = performance.now();
      this.#pause = Math.min(this.#pause * GROWTH, this.#longest);
      this.#act();
    }, this.#pause);
  }

  /** What was asked for and not done yet is not done. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

const GROWTH = 4;
