import { setTimeout as sleep } from 'node:timers/promises';
import type { LabHost } from '../../src/lab/topology.ts';
import type { ClusterLab } from '../support/cluster-lab.ts';
import { type ContentLease, etcdContent } from '../support/etcd-content.ts';
import { ONE_OUTAGE, type Outage, type PingWatch, pingAll, stopAll } from '../support/ping-watch.ts';
import { ownerOf } from './faults.ts';
import {
  type Excuse,
  excuseFor,
  type HostState,
  heldByAnother,
  overlaps,
  overlapsIn,
  subnetChanges,
  type Violation,
} from './invariants.ts';

/** Milliseconds. */
const STATUS_INTERVAL = 200;
const CONTENT_INTERVAL = 1000;
/** How many of etcd's contents are kept: a minute of them. */
const HISTORY = 60;
/** A packet on its way when a fault begins was sent before. Milliseconds. */
const SLACK = 200;

/**
 * Looks at daemons, etcd and pings throughout a run, with nothing of the programs under test but what they say of
 * themselves over their sockets.
 */
export class Observer {
  readonly violations: Violation[] = [];
  readonly excused: { readonly outage: Outage; readonly excuse: Excuse }[] = [];
  /** The longest time this process was kept from running. Milliseconds. */
  longestStall = 0;
  readonly #lab: ClusterLab;
  readonly #excuses: Excuse[] = [];
  readonly #subnets = new Map<string, string>();
  readonly #history: ContentLease[][] = [];
  readonly #end = new AbortController();
  #pings: PingWatch[] = [];
  #loops: Promise<void>[] = [];

  constructor(lab: ClusterLab) {
    this.#lab = lab;
  }

  async start(): Promise<void> {
    await this.#lookAtHosts();
    this.#pings = pingAll(await this.#lab.containers());
    this.#loops = [
      this.#every(STATUS_INTERVAL, () => this.#lookAtHosts()),
      this.#every(CONTENT_INTERVAL, () => this.#lookAtEtcd()),
      this.#every(CONTENT_INTERVAL, async () => this.#lookAtPings()),
    ];
  }

  /** Packets from and to a host may be lost from now on, until the excuse is closed. */
  excuse(kind: string, host: LabHost): Excuse {
    const excuse: Excuse = { kind, host: host.name, from: Date.now() - SLACK };
    this.#excuses.push(excuse);
    return excuse;
  }

  closeExcuses(): void {
    for (const excuse of this.#excuses) excuse.until ??= Date.now();
  }

  get pings(): { sent: number; lost: number; late: number } {
    const sum = (count: (watch: PingWatch) => number) =>
      this.#pings.reduce((all, one) => all + count(one), 0);
    const lost = sum(({ log }) => log.lost);
    return { sent: lost + sum(({ log }) => log.answered), lost, late: sum(({ log }) => log.late) };
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#loops);
    this.#judge(await stopAll(this.#pings));
  }

  async #every(interval: number, look: () => Promise<void>): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      await look();
      const before = performance.now();
      await sleep(interval, undefined, { signal }).catch(() => undefined); // The end of the run.
      this.longestStall = Math.max(this.longestStall, Math.round(performance.now() - before - interval));
    }
  }

  async #lookAtHosts(): Promise<void> {
    const statuses = this.#lab.hosts.map(async (host) => {
      // Between a kill and a start: its data plane goes on with the subnet it had.
      const status = await this.#lab.test.status(host).catch(() => undefined);
      return { name: host.name, subnet: status?.lease?.subnets[0] ?? this.#subnets.get(host.name) ?? '' };
    });
    const states: HostState[] = (await Promise.all(statuses)).filter(({ subnet }) => subnet !== '');
    this.violations.push(
      ...overlaps(states),
      ...subnetChanges(this.#subnets, states, this.#history, ownerOf),
    );
    for (const { name, subnet } of states) this.#subnets.set(name, subnet);
  }

  async #lookAtEtcd(): Promise<void> {
    const content = await etcdContent(this.#lab.cluster).catch(() => undefined);
    if (content === undefined) return; // It is meant to be away at times; whether it returns, others see.
    this.#history.push(content);
    if (this.#history.length > HISTORY) this.#history.shift();
    const states = [...this.#subnets].map(([name, subnet]) => ({ name, subnet }));
    this.violations.push(...overlapsIn(content), ...heldByAnother(content, states, ownerOf));
  }

  #lookAtPings(): void {
    this.#judge(this.#pings.flatMap((watch) => watch.outages()));
    for (const { from, to, hasEnded, complaints } of this.#pings) {
      if (!hasEnded) continue;
      const what = `the pings from ${from} to ${to} have ended: ${complaints.join('; ')}`;
      this.violations.push({ what, hosts: [from, to] });
    }
  }

  #judge(outages: readonly Outage[]): void {
    for (const outage of outages) {
      const excuse = excuseFor(outage, this.#excuses);
      if (excuse === undefined) this.violations.push(lossOf(outage));
      else this.#forgive(outage, excuse);
    }
  }

  /** An outage that goes on while it is looked at comes in parts. */
  #forgive(outage: Outage, excuse: Excuse): void {
    const index = this.excused.findLastIndex(
      ({ outage: { from, to } }) => from === outage.from && to === outage.to,
    );
    const before = this.excused[index];
    if (before?.excuse === excuse && outage.firstAt - before.outage.lastAt < ONE_OUTAGE) {
      const whole = { ...before.outage, lastAt: outage.lastAt, lost: before.outage.lost + outage.lost };
      this.excused[index] = { outage: whole, excuse };
    } else {
      this.excused.push({ outage, excuse });
    }
  }
}

function lossOf({ from, to, firstAt, lastAt, lost }: Outage): Violation {
  const when = `${new Date(firstAt).toISOString()}, for ${Math.round(lastAt - firstAt)} ms`;
  return { what: `${lost} pings from ${from} to ${to} were lost, from ${when}`, hosts: [from, to] };
}
