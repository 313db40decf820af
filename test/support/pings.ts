import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { inNamespace } from '../../src/lab/processes.ts';

export interface PingReport {
  /** Answered. */
  readonly answered: number;
  /** Not answered, though a later one was. */
  readonly lost: number;
  /** The longest time without an answer. Milliseconds; the interval of the pings is in it. */
  readonly longestGap: number;
}

/** Milliseconds between two pings. */
const INTERVAL = 10;

/** Pings every 10 ms, until it is asked what came of them. */
export class Pings {
  readonly #child: ChildProcess;
  #output = '';

  constructor(namespace: string, target: string) {
    const [program = '', ...args] = inNamespace(namespace, [
      'ping',
      '-n',
      '-D',
      '-i',
      String(INTERVAL / 1000),
      target,
    ]);
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout?.on('data', (chunk) => {
      this.#output += chunk;
    });
  }

  async stop(): Promise<PingReport> {
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    await closed;
    return reportOf(this.#output);
  }
}

/** From lines such as: [1700000000.123456] 64 bytes from 10.244.1.2: icmp_seq=7 ttl=62 time=0.09 ms */
function reportOf(output: string): PingReport {
  const answers = [...output.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from \S+ icmp_seq=(\d+) /gm)];
  const sequences = new Set(answers.map(([, , sequence]) => Number(sequence)));
  const times = answers.map(([, time]) => Number(time) * 1000);
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? time));
  return {
    answered: sequences.size,
    lost: Math.max(0, ...sequences) - sequences.size,
    longestGap: Math.round(Math.max(0, ...gaps)),
  };
}
