import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { until } from './lab.ts';
import type { Container } from './nspawn-docker.ts';

/** Milliseconds between two pings. */
const INTERVAL = 50;
/** Milliseconds of answers without a gap after which the network counts as healed. */
const CALM = 1000;
/** On a busy machine an answer may be this late by itself. Milliseconds. */
const LATE = 10 * INTERVAL;

/** What a disturbance did to the traffic between two containers. */
export interface Healing {
  readonly what: string;
  /** Pings without an answer. */
  readonly lost: number;
  /** The longest time without an answer, beyond the interval of the pings. Milliseconds; 0 when there was none. */
  readonly outage: number;
  /** From the disturbance to the first answer after the last outage. Milliseconds; 0 when there was none. */
  readonly healedAfter: number;
}

export interface Answer {
  readonly sequence: number;
  /** Unix time, milliseconds. */
  readonly at: number;
}

/** What answers say of a disturbance. Answers that come very late, all at once, make an outage without a loss. */
export function healingOf(what: string, answers: readonly Answer[], disturbedAt: number): Healing {
  let lost = 0;
  let outage = 0;
  let healedAt = disturbedAt;
  for (const [index, answer] of answers.entries()) {
    const before = answers[index - 1] ?? answer;
    const missing = Math.max(0, answer.sequence - before.sequence - 1);
    const gap = answer.at - before.at;
    if (missing === 0 && gap <= LATE) continue;
    lost += missing;
    outage = Math.max(outage, gap - INTERVAL);
    healedAt = answer.at;
  }
  return { what, lost, outage: Math.round(outage), healedAfter: Math.round(healedAt - disturbedAt) };
}

/**
 * Pings from one container to an address every 50 ms while something happens, until answers come steadily again.
 *
 * @param disturb is given a function that sets the time from which healing is measured anew
 * @param timeout milliseconds, after the disturbance
 */
export async function healing(
  what: string,
  from: Container,
  to: string,
  disturb: (nowItCanHeal: () => void) => Promise<unknown>,
  timeout = 30_000,
): Promise<Healing> {
  const pings = new Pings(await from.inNetwork('ping', '-n', '-D', '-i', String(INTERVAL / 1000), to));
  try {
    await until('pings are answered before anything happens', () => pings.answers.length >= 5);
    let disturbedAt = Date.now();
    await disturb(() => {
      disturbedAt = Date.now();
    });
    const over = Date.now();
    await until(`${what}: pings are answered again`, () => pings.calmSince(over), timeout);
    return healingOf(what, pings.answers, disturbedAt);
  } finally {
    await pings.stop();
  }
}

class Pings {
  readonly answers: Answer[] = [];
  readonly #child: ChildProcess;

  constructor([program, words]: [string, string[]]) {
    // ping complains of an unreachable network for as long as it is.
    this.#child = spawn(program, words, { stdio: ['ignore', 'pipe', 'ignore'] });
    if (this.#child.stdout) createInterface(this.#child.stdout).on('line', (line) => this.#read(line));
  }

  /** Like: [1700000000.123456] 64 bytes from 10.244.1.2: icmp_seq=7 ttl=62 time=0.09 ms */
  #read(line: string): void {
    const match = /^\[(\d+\.\d+)\] \d+ bytes from \S+ icmp_seq=(\d+) /.exec(line);
    if (match) this.answers.push({ at: Number(match[1]) * 1000, sequence: Number(match[2]) });
  }

  /** Whether a while has passed since this time, and answers came without a gap in it, to this moment. */
  calmSince(time: number): boolean {
    const now = Date.now();
    const start = now - CALM;
    const recent = this.answers.map(({ at }) => at).filter((at) => at > start);
    const times = [start, ...recent, now];
    return start >= time && times.every((at, index) => at - (times[index - 1] ?? at) <= LATE);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    await closed;
  }
}

/** The measurements of a test, as a table for its output. */
export function table(rows: readonly Healing[]): string {
  const cells = [
    ['what happened', 'pings lost', 'outage (ms)', 'healed after (ms)'],
    ...rows.map(({ what, lost, outage, healedAfter }) => [what, ...[lost, outage, healedAfter].map(String)]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`)
    .join('');
}
