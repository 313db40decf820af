import pino from 'pino';
import pretty from 'pino-pretty';

/** A log of sentences. Fields are for machines; the sentence says everything a person needs. */
export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
}

export interface LogOptions {
  readonly level: string;
  /** `text` for people (coloured on a terminal), `json` for machines: one object a line. */
  readonly format: string;
}

/** Logs to standard error: systemd's journal takes it from there. */
export function createLog({ level, format }: LogOptions): Log {
  const colorize = process.stderr.isTTY === true && process.env.NO_COLOR === undefined;
  const stream =
    format === 'text'
      ? pretty({
          destination: 2,
          sync: true,
          colorize,
          ignore: 'pid,hostname',
          translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
        })
      : pino.destination({ fd: 2, sync: true });
  const logger = pino({ level, base: { pid: process.pid } }, stream);
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
  };
}

/**
 * Something that is wrong for a while: said at once, then at a low rate, and once more when it is over.
 *
 * @param now monotonic milliseconds
 */
export class LastingProblem {
  readonly #log: Log;
  readonly #now: () => number;
  #current: string | undefined;
  #said: { readonly kind: string; readonly at: number } | undefined;

  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** What is wrong now, or `undefined`. */
  get current(): string | undefined {
    return this.#current;
  }

  /**
   * @param kind what tells one problem from another, where the message holds numbers that change each time; the
   *   message itself when absent
   */
  raise(message: string, kind = message): void {
    this.#current = message;
    const again = this.#said?.kind === kind;
    if (again && this.#said !== undefined && this.#now() - this.#said.at < REPEAT_AFTER) return;
    this.#log.warn(again ? `still: ${message}` : message);
    this.#said = { kind, at: this.#now() };
  }

  /** Says what is still wrong, if the time has come. */
  remind(): void {
    if (this.#current !== undefined) this.raise(this.#current, this.#said?.kind);
  }

  clear(message?: string): void {
    if (this.#current !== undefined && message !== undefined) this.#log.info(message);
    this.#current = undefined;
    this.#said = undefined;
  }
}

/** Milliseconds after which a problem that lasts is said again. */
const REPEAT_AFTER = 10 * 60_000;
