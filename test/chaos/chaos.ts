import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../src/errors.ts';
import { ClusterLab } from '../support/cluster-lab.ts';
import { Faults } from './faults.ts';
import { Observer } from './observer.ts';
import { type Done, failureText, lineOf, type Run, summaryText } from './report.ts';
import { type FaultKind, type Step, schedule } from './schedule.ts';

export interface ChaosOptions {
  readonly seed: number;
  /** How long faults are begun. */
  readonly seconds: number;
  /** Default 5. */
  readonly hosts?: number;
  readonly without?: readonly FaultKind[];
  /** Where progress goes, a line at a time. */
  readonly write: (line: string) => void;
}

/** Milliseconds from the end of a fault until everybody's tables are as etcd's. */
const FOLLOWS_WITHIN = 5000;
/** Leases are renewed every 30 s, so that a run has renewals in it. */
const SETTINGS = { CORDUROYD_LEASE_TTL: '90', CORDUROYD_SUBNET_LEASE_RENEW_MARGIN: '1' };
const LOG_LINES = 15;

/**
 * Faults by chance, and an observer who looks at what must never be.
 * @returns what was seen
 * @throws at the first violation, with all that is known of it
 */
export async function runChaos(options: ChaosOptions): Promise<string> {
  const { seed, seconds, hosts = 5, without = [], write } = options;
  write(`chaos: seed ${seed}, ${seconds} s, ${hosts} hosts`);
  const lab = await ClusterLab.start(hosts, SETTINGS);
  const observer = new Observer(lab);
  const faults = new Faults(lab, (host) => observer.excuse('address-changed', host));
  const run = { seed, startedAt: Date.now(), done: [] as Done[] } satisfies Run;
  const steps = schedule(seed, { hosts, members: lab.cluster.members.length, without });
  try {
    await observer.start();
    while (Date.now() - run.startedAt < seconds * 1000) {
      await carryOut(steps.next().value);
      await requireInvariants();
    }
    await observer.stop();
    await requireInvariants();
    return summaryText(run, observer, FOLLOWS_WITHIN);
  } finally {
    await observer.stop();
    await lab.remove();
  }

  async function carryOut(step: Step): Promise<void> {
    await sleep(step.pause);
    const done: Done = { step, startedAt: Date.now() };
    run.done.push(done);
    try {
      await faults.carryOut(step);
      done.healedAt = Date.now();
      done.followed = await lab.follows(FOLLOWS_WITHIN);
    } catch (error) {
      observer.violations.push({ what: messageOf(error), hosts: lab.hosts.map(({ name }) => name) });
    }
    observer.closeExcuses();
    write(lineOf(done, run));
  }

  /** Where packets went, as the data planes and the kernel count them. */
  async function drops(): Promise<unknown> {
    const engines = lab.hosts.map(async (host) => {
      const { engine } = await lab.test.status(host);
      return [host.name, { ...engine?.drops, queueDrops: engine?.queueDrops }];
    });
    const softnet = readFileSync('/proc/net/softnet_stat', 'utf8').split('\n');
    const backlog = softnet.map((line) => Number.parseInt(line.split(' ')[1] ?? '0', 16) || 0);
    return { engines: Object.fromEntries(await Promise.all(engines)), backlog };
  }

  async function requireInvariants(): Promise<void> {
    if (observer.violations.length === 0) return;
    const concerned = new Set(observer.violations.flatMap((violation) => violation.hosts));
    const logs = [
      ...lab.hosts
        .filter(({ name }) => concerned.has(name))
        .map((host) => [host.name, tail(lab.test.log(host))]),
      ...lab.cluster.members.map((member) => [member.name, member.logTail(5)]),
      ['what was dropped', JSON.stringify(await drops())],
    ];
    throw new Error(failureText(run, observer.violations, Object.fromEntries(logs)));
  }
}

function tail(log: string): string {
  return log.trimEnd().split('\n').slice(-LOG_LINES).join('\n');
}
