import type { Log } from '../../../src/observe/log.ts';

/** A log that keeps its lines, such as `warn: …`. */
export class RecordedLog implements Log {
  readonly lines: string[] = [];
  debug = (message: string): void => this.#say('debug', message);
  info = (message: string): void => this.#say('info', message);
  warn = (message: string): void => this.#say('warn', message);
  error = (message: string): void => this.#say('error', message);

  /** The lines people see unasked. */
  get loud(): string[] {
    return this.lines.filter((line) => /^(warn|error): /.test(line));
  }

  #say(level: string, message: string): void {
    this.lines.push(`${level}: ${message}`);
  }
}
