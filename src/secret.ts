import { createHash } from 'node:crypto';

/** A text that appears in no log, no JSON and no message: only whoever asks for it by name gets it. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  equals(other: Secret | undefined): boolean {
    return other?.reveal() === this.#text;
  }

  /** Tells that it has changed, and nothing else. */
  toJSON(): string {
    return `sha256:${createHash('sha256').update(this.#text).digest('hex')}`;
  }

  toString(): string {
    return '(hidden)';
  }
}
