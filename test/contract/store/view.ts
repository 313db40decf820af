import type { Change, Entry, Store, WatchEvent } from '../../../src/store/store.ts';

/** Follows a watch as its consumers do, and remembers what came. */
export class View {
  readonly events: WatchEvent[] = [];
  /** What the keys are by the events so far. */
  readonly entries = new Map<string, Entry>();
  /** Rejects if the watch does; resolves when it ends. */
  readonly done: Promise<void>;
  readonly #abort = new AbortController();
  readonly #changed = new Set<() => void>();

  /** @param dawdle awaited after each event: a slow consumer */
  constructor(store: Store, prefix: string, dawdle?: () => Promise<unknown>) {
    this.done = this.#follow(store.watch(prefix, this.#abort.signal), dawdle);
    this.done.catch(() => undefined); // Whoever awaits it gets the error.
  }

  async #follow(watch: AsyncIterable<WatchEvent>, dawdle?: () => Promise<unknown>): Promise<void> {
    try {
      for await (const event of watch) {
        this.events.push(event);
        if (event.kind === 'snapshot') {
          this.entries.clear();
          for (const entry of event.entries) this.entries.set(entry.key, entry);
        }
        if (event.kind === 'delta') for (const change of event.changes) this.#apply(change);
        for (const look of this.#changed) look();
        await dawdle?.();
      }
    } finally {
      for (const look of this.#changed) look();
    }
  }

  #apply(change: Change): void {
    if (change.kind === 'put') this.entries.set(change.entry.key, change.entry);
    else this.entries.delete(change.key);
  }

  /** Resolves to the condition's first truthy value. Rejects after the time, telling what came instead. */
  async until<T>(condition: (view: View) => T | undefined | false, timeoutMs = 10_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        this.#changed.delete(look);
        act();
      };
      const look = () => {
        const value = condition(this);
        if (value !== undefined && value !== false) finish(() => resolve(value));
      };
      const timer = setTimeout(() => {
        const error = new Error(
          `not within ${timeoutMs} ms; the last events: ${this.summary.slice(-10).join(' ')}`,
        );
        finish(() => reject(error));
      }, timeoutMs);
      this.#changed.add(look);
      look();
    });
  }

  of<K extends WatchEvent['kind']>(kind: K): Extract<WatchEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<WatchEvent, { kind: K }> => event.kind === kind);
  }

  get values(): Record<string, string> {
    return Object.fromEntries([...this.entries.values()].map(({ key, value }) => [key, value]));
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  get summary(): string[] {
    return this.events.map((event) =>
      event.kind === 'interrupted'
        ? `interrupted(${event.error.message})`
        : `${event.kind}@${event.revision}`,
    );
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.done;
  }
}

/** Entries as a plain record, for comparisons. */
export function valuesOf(entries: readonly Entry[]): Record<string, string> {
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}

/** Puts without conditions; resolves to the revision. */
export async function put(store: Store, key: string, value: string): Promise<bigint> {
  const { revision } = await store.transaction([], [{ do: 'put', key, value }]);
  return revision;
}
