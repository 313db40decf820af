import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { inNamespace } from '../../src/lab/processes.ts';

/** Milliseconds between two pings. */
export const PING_INTERVAL = 50;
/** Milliseconds after which a ping that was not answered is lost. One that comes later than the next is merely late. */
export const LOST_AFTER = 3000;

/** Losses closer than this are of one outage: ping is late by itself on a busy machine. Milliseconds. */
export const ONE_OUTAGE = 10 * PING_INTERVAL;

/** One ping after another that nobody answered. */
export interface Outage {
  readonly from: string;
  readonly to: string;
  /** When the first of them was sent, and the last. Unix time, milliseconds. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly lost: number;
}

/**
 * What `ping -D -O` writes, understood line by line: which pings were answered, which late, which never.
 *
 *     [1700000000.123456] 64 bytes from 10.244.1.2: icmp_seq=7 ttl=62 time=0.09 ms
 *     [1700000000.173456] no answer yet for icmp_seq=8        (written when the next one is sent)
 *     [1700000000.173456] From 10.244.1.1 icmp_seq=8 Destination Host Unreachable
 */
export class PingLog {
  answered = 0;
  late = 0;
  lost = 0;
  /** Sequence number to when it was sent, of those that wait for an answer longer than they should. */
  readonly #waiting = new Map<number, number>();

  read(line: string): void {
    const match = /^\[(\d+\.\d+)\] (.*)icmp_seq=(\d+)/.exec(line);
    if (match === null) return;
    const [, seconds, text = '', sequence] = match;
    const at = Number(seconds) * 1000;
    if (/^\d+ bytes from /.test(text)) {
      this.answered++;
      if (this.#waiting.delete(Number(sequence))) this.late++;
    } else if (!this.#waiting.has(Number(sequence))) {
      this.#waiting.set(Number(sequence), text.startsWith('no answer yet') ? at - PING_INTERVAL : at);
    }
  }

  /** Whether pings wait for an answer longer than they should. */
  get isLate(): boolean {
    return this.#waiting.size > 0;
  }

  /** Those of which nothing is to be expected any more. @returns when they were sent, in order */
  settle(now: number): number[] {
    const settled = [...this.#waiting].filter(([, sentAt]) => now - sentAt > LOST_AFTER);
    for (const [sequence] of settled) this.#waiting.delete(sequence);
    this.lost += settled.length;
    return settled.map(([, sentAt]) => sentAt).sort((one, other) => one - other);
  }
}

export interface PingEnd {
  readonly name: string;
  /** Namespace the pings start in. */
  readonly namespace: string;
  /** Address pings to it go to. */
  readonly address: string;
}

/** Pings every 50 ms from one container to another, for as long as it takes. */
export class PingWatch {
  readonly from: string;
  readonly to: string;
  readonly log = new PingLog();
  /** What ping complained of; it stays silent about mere loss. */
  readonly complaints: string[] = [];
  readonly #child: ChildProcess;

  constructor(from: PingEnd, to: PingEnd) {
    this.from = from.name;
    this.to = to.name;
    const words = ['ping', '-n', '-D', '-O', '-i', String(PING_INTERVAL / 1000), to.address];
    const [program = '', ...args] = inNamespace(from.namespace, words);
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    if (this.#child.stdout) createInterface(this.#child.stdout).on('line', (line) => this.log.read(line));
    if (this.#child.stderr)
      createInterface(this.#child.stderr).on('line', (line) => {
        if (this.complaints.length < 20) this.complaints.push(line);
      });
  }

  /** Outages that are certain by now, since the last call. */
  outages(now = Date.now()): Outage[] {
    return outagesOf(this.log.settle(now)).map((outage) => ({ from: this.from, to: this.to, ...outage }));
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async stop(): Promise<void> {
    if (this.hasEnded) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    await closed;
  }
}

/** Pings from every end to every other. */
export function pingAll(ends: readonly PingEnd[]): PingWatch[] {
  return ends.flatMap((from) => ends.filter((to) => to !== from).map((to) => new PingWatch(from, to)));
}

/** Ends them all, once it is certain what was lost. @returns that */
export async function stopAll(watches: readonly PingWatch[]): Promise<Outage[]> {
  const deadline = Date.now() + LOST_AFTER;
  while (Date.now() < deadline && watches.some(({ log }) => log.isLate)) await sleep(PING_INTERVAL);
  // What is sent while the others end is not waited for.
  const outages = watches.flatMap((watch) => watch.outages(deadline + LOST_AFTER));
  await Promise.all(watches.map((watch) => watch.stop()));
  return outages;
}

/** Times of lost pings, in order, as rows of consecutive ones. */
export function outagesOf(times: readonly number[]): { firstAt: number; lastAt: number; lost: number }[] {
  const rows: { firstAt: number; lastAt: number; lost: number }[] = [];
  for (const time of times) {
    const row = rows.at(-1);
    if (row !== undefined && time - row.lastAt < ONE_OUTAGE) {
      row.lastAt = time;
      row.lost++;
    } else {
      rows.push({ firstAt: time, lastAt: time, lost: 1 });
    }
  }
  return rows;
}
