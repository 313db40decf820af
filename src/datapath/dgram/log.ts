/**
 * The engine's log: lines on standard error, which the launcher has directed to a file. It tells of changes of state.
 * What happens to packets is told by counters; the first of its kind is told by `once`.
 */
export interface Log {
  info(text: string): void;
  /** Only the first time for this key in the life of the engine. */
  once(key: string, text: string): void;
}

/** More keys than this can only be made by somebody who wants to fill the memory or the disk. */
const KEYS_MAX = 1000;

export function createLog(write: (line: string) => void, now: () => Date): Log {
  const said = new Set<string>();
  const info = (text: string) =>
    write(`${now().toISOString()} corduroy-datapath-dgram[${process.pid}]: ${text}\n`);
  return {
    info,
    once(key, text) {
      if (said.has(key) || said.size >= KEYS_MAX) return;
      said.add(key);
      info(`${text} (said once)`);
    },
  };
}
