/** Whether one part of the host is known to be as wished, and since when. */
export class Trust {
  readonly #now: () => number;
  /** What was brought about, as text; `undefined` when that is not known. */
  #known: string | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #doubts = 0;

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** When it was last looked at, monotonic milliseconds. */
  get lookedAt(): number {
    return this.#lookedAt;
  }

  /** Somebody may have changed it. */
  doubt(): void {
    this.#known = undefined;
    this.#doubts += 1;
  }

  /** @param maxAge milliseconds since the last look */
  holds(wish: string, maxAge: number): boolean {
    return this.#known === wish && this.#now() - this.#lookedAt < maxAge;
  }

  /** Brings a wish about. It is not trusted when that failed, or when doubts arose while it was being done. */
  async renew(wish: string, bringAbout: () => Promise<void>): Promise<void> {
    const doubts = this.#doubts;
    this.#known = undefined;
    try {
      await bringAbout();
      if (doubts === this.#doubts) this.#known = wish;
    } finally {
      this.#lookedAt = this.#now();
    }
  }
}
