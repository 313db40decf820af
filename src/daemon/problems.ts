import { CorduroyError, messageOf } from '../errors.ts';
import { LastingProblem, type Log } from '../observe/log.ts';

/** The parts of a round, and of what can be wrong. */
const PARTS = [
  'etcd',
  'config',
  'interface',
  'backend',
  'lease',
  'host',
  'firewall',
  'data plane',
  'commands',
  'subnet file',
  'forwarding',
  'docker',
  'cni',
  'foreign rules',
  'ipv6 routers',
  'memory',
  'daemon',
] as const;
export type Part = (typeof PARTS)[number];

/** What is wrong now, by the part of a round that it stops; nothing stops the other parts. */
export class Problems {
  readonly #log: Log;
  readonly #parts: Readonly<Record<Part, LastingProblem>>;
  /** The last that a part has thrown on. */
  #thrownOn: unknown;

  /** @param now monotonic milliseconds */
  constructor(log: Log, now: () => number) {
    this.#log = log;
    const parts = PARTS.map((name) => [name, new LastingProblem(log, now)]);
    this.#parts = Object.fromEntries(parts) as Record<Part, LastingProblem>;
  }

  of(part: Part): LastingProblem {
    return this.#parts[part];
  }

  /** A sentence each. */
  current(): string[] {
    return Object.values(this.#parts).flatMap(({ current }) => current ?? []);
  }

  /** Says again what has lasted for long. */
  remind(): void {
    for (const problem of Object.values(this.#parts)) problem.remind();
  }

  /** Something was thrown in a round that nobody foresaw: with its stack once. A part's own is that part's problem. */
  defect(error: unknown): void {
    if (error === this.#thrownOn) return;
    const problem = this.#parts.daemon;
    if (problem.current === undefined) this.#log.error('a defect in corduroyd', { err: error });
    problem.raise(`a defect in corduroyd: ${messageOf(error)}; its log has more`);
  }

  /** Runs one part of a round. What it throws becomes the part's problem, and is thrown on. */
  async run<T>(name: Part, work: () => T | Promise<T>): Promise<T> {
    const problem = this.#parts[name];
    try {
      const result = await work();
      problem.clear(`${name}: all is as it should be again`);
      return result;
    } catch (error) {
      if (!(error instanceof CorduroyError) && problem.current === undefined) {
        this.#log.error('a defect in corduroyd', { err: error });
      }
      problem.raise(messageOf(error), error instanceof CorduroyError ? `${name} ${error.code}` : name);
      this.#thrownOn = error;
      throw error;
    }
  }

  /** As `run`, for a part that the others do not need. @returns whether it succeeded */
  async attempt(name: Part, work: () => unknown): Promise<boolean> {
    try {
      await this.run(name, work);
      return true;
    } catch {
      return false;
    }
  }
}
