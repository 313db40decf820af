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
          translateTime: 'SYS:HH:MM:ss.l',
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
 * Says a lasting condition once, then at a low rate, and says when it is over.
 *
 * @param now monotonic milliseconds
 */
export class Condition {
  readonly #log: Log;
  readonly #now: () => number;
  #said: { readonly message: string; readonly at: number } | undefined;

  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** What holds now, or `undefined`. */
  get current(): string | undefined {
    return this.#said?.message;
  }

  raise(message: string): void {
    const again = this.#said?.message === message;
    if (again && this.#said !== undefined && this.#now() - this.#said.at < REPEAT_AFTER) return;
    this.#log.warn(again ? `still: ${message}` : message);
    this.#said = { message, at: this.#now() };
  }

  /** Says what still holds, if the time has come. */
  remind(): void {
    if (this.#said !== undefined) this.raise(this.#said.message);
  }

  clear(message?: string): void {
    if (this.#said !== undefined && message !== undefined) this.#log.info(message);
    this.#said = undefined;
  }
}

/** Milliseconds after which a condition that still holds is said again. */
const REPEAT_AFTER = 10 * 60_000;
