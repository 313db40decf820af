import { messageOf } from '../errors.ts';

/** A rule that a document breaks. */
export interface Problem {
  /** Spelt as flannel spells it, with its path: `SubnetLen`, `Backend.Port`. */
  readonly key: string;
  /** As it stands in the document; `undefined` when it is missing. */
  readonly value: unknown;
  readonly rule: string;
}

/**
 * A JSON object whose keys match case-insensitively, as in Go, where of two that match the last counts; null counts as
 * absent. Reports what has the wrong type.
 */
export class Document {
  readonly #content = new Map<string, unknown>();
  readonly #spelling = new Map<string, string>();
  readonly #overridden: string[] = [];
  readonly #path: string;

  constructor(content: Readonly<Record<string, unknown>>, path = '') {
    this.#path = path;
    for (const [key, value] of Object.entries(content)) {
      const earlier = this.#spelling.get(key.toLowerCase());
      if (earlier !== undefined) this.#overridden.push(`${path}${earlier} (${key} comes later and counts)`);
      this.#content.set(key.toLowerCase(), value ?? undefined);
      this.#spelling.set(key.toLowerCase(), key);
    }
  }

  get(key: string): unknown {
    return this.#content.get(key.toLowerCase());
  }

  /**
   * Keys that mean nothing, with their path and as the document spells them: those that are none of the known ones, and
   * those that stand there again later.
   */
  keysBut(known: readonly string[]): string[] {
    const lower = new Set(known.map((key) => key.toLowerCase()));
    const unknown = [...this.#spelling].filter(([key]) => !lower.has(key));
    return [...unknown.map(([, spelling]) => this.#path + spelling), ...this.#overridden];
  }

  boolean(key: string, problems: Problem[]): boolean | undefined {
    return this.#typed(key, problems, 'true or false', (value) => typeof value === 'boolean');
  }

  string(key: string, problems: Problem[]): string | undefined {
    return this.#typed(key, problems, 'a string', (value) => typeof value === 'string');
  }

  integer(key: string, problems: Problem[], min = 0, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const rule = max === Number.MAX_SAFE_INTEGER ? 'a whole number' : `a whole number from ${min} to ${max}`;
    const fits = (value: unknown) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
    return this.#typed(key, problems, rule, fits);
  }

  /** One of some words, in whatever case. @param words lower case */
  choice<T extends string>(key: string, problems: Problem[], words: readonly T[]): T | undefined {
    const find = (value: unknown) => words.find((word) => word === String(value).toLowerCase());
    const rule = `one of ${words.join(', ')}`;
    return find(
      this.#typed(key, problems, rule, (value) => typeof value === 'string' && find(value) !== undefined),
    );
  }

  /** A string that a parser accepts; the parser's error becomes the rule. */
  parsed<T>(key: string, problems: Problem[], parse: (text: string) => T): T | undefined {
    const text = this.string(key, problems);
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch (error) {
      problems.push({ key: this.#path + key, value: text, rule: messageOf(error) });
      return undefined;
    }
  }

  #typed<T>(
    key: string,
    problems: Problem[],
    rule: string,
    fits: (value: unknown) => boolean,
  ): T | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (fits(value)) return value as T;
    problems.push({ key: this.#path + key, value, rule: `has to be ${rule}` });
    return undefined;
  }
}
