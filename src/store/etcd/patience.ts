/** Milliseconds. */
const FIRST = 2000;

/**
 * How long a request is waited for. Short at first: a member that has just lost its leader, and does not know it yet,
 * forwards a write to nobody, and says nothing. Longer after each that came to nothing, as an etcd that is merely slow
 * would never get to the end of one.
 */
export class Patience {
  readonly #first: number;
  readonly #longest: number;
  #ms: number;

  /** @param longest milliseconds */
  constructor(longest: number) {
    this.#first = Math.min(FIRST, longest);
    this.#longest = longest;
    this.#ms = this.#first;
  }

  /** Milliseconds that the next request may take. */
  get ms(): number {
    return this.#ms;
  }

  /** @param took milliseconds */
  answered(took: number): void {
    if (took < this.#first) this.#ms = this.#first;
  }

  /** Several requests of one time run out together, and count once. @param waited milliseconds */
  ranOut(waited: number): void {
    this.#ms = Math.max(this.#ms, Math.min(2 * waited, this.#longest));
  }
}
