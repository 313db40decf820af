import type { Violation } from './invariants.ts';
import type { Observer } from './observer.ts';
import { kindOf, type Step } from './schedule.ts';

/** A step that has been carried out. */
export interface Done {
  readonly step: Step;
  /** Unix time, milliseconds. */
  readonly startedAt: number;
  /** When its fault was undone. */
  healedAt?: number;
  /** Milliseconds from then until all daemons followed etcd. */
  followed?: number;
}

export interface Run {
  readonly seed: number;
  readonly startedAt: number;
  readonly done: readonly Done[];
}

/** One line for one step. */
export function lineOf({ step, startedAt, healedAt, followed }: Done, run: Run): string {
  const { number, etcd, host } = step;
  const parameters = [etcd, host].flatMap((fault) =>
    Object.entries(fault ?? {}).flatMap(([name, value]) => (name === 'kind' ? [] : `${name} ${value}`)),
  );
  const lasted = healedAt === undefined ? 'goes on' : `over after ${seconds(healedAt - startedAt)}`;
  const end = followed === undefined ? '' : `, then all well within ${followed} ms`;
  return (
    `${seconds(startedAt - run.startedAt).padStart(8)}  ${new Date(startedAt).toISOString()}  #${number} ${kindOf(step)}` +
    `${parameters.length > 0 ? ` (${parameters.join(', ')})` : ''}: ${lasted}${end}`
  );
}

/** What somebody needs to find out why. @param logs the last lines of the logs that matter, by name */
export function failureText(
  run: Run,
  violations: readonly Violation[],
  logs: Record<string, string>,
): string {
  return [
    `chaos: ${violations.length} violations; seed ${run.seed}. Again with: make test-chaos CHAOS_SEED=${run.seed}`,
    ...violations.slice(0, 20).map(({ what }) => `  - ${what}`),
    'faults, the last one at the bottom:',
    ...run.done.slice(-15).map((done) => lineOf(done, run)),
    ...Object.entries(logs).flatMap(([name, text]) => [`--- the log of ${name} ends with`, text]),
  ].join('\n');
}

/** @param limit milliseconds to follow after a fault, which by the clock are exceeded on a busy machine */
export function summaryText(run: Run, observer: Observer, limit: number): string {
  const kinds = new Map<string, number>();
  for (const { step } of run.done) kinds.set(kindOf(step), (kinds.get(kindOf(step)) ?? 0) + 1);
  const slowest = run.done.reduce<Done | undefined>(
    (slow, one) => ((one.followed ?? 0) > (slow?.followed ?? -1) ? one : slow),
    undefined,
  );
  const { sent, lost, late } = observer.pings;
  const excuses = new Map<string, { lost: number; longest: number }>();
  for (const { outage, excuse } of observer.excused) {
    const { lost: before, longest } = excuses.get(excuse.kind) ?? { lost: 0, longest: 0 };
    const length = Math.round(outage.lastAt - outage.firstAt);
    excuses.set(excuse.kind, { lost: before + outage.lost, longest: Math.max(longest, length) });
  }
  return [
    `chaos: ${seconds(Date.now() - run.startedAt)}, seed ${run.seed}, ${run.done.length} steps, no violation`,
    ...[...kinds].sort().map(([kind, count]) => `  ${String(count).padStart(4)}  ${kind}`),
    `  pings: ${sent} sent, ${late} late, ${lost} lost, all of these with an excuse`,
    ...[...excuses].map(
      ([kind, { lost: count, longest }]) =>
        `  excused, ${kind}: ${count} pings, the longest outage ${longest} ms`,
    ),
    `  slowest to follow after a fault: ${slowest?.followed} ms, step ${slowest?.step.number} (${slowest && kindOf(slowest.step)})`,
    `  steps that took longer than ${limit} ms by the clock, on a busy machine: ${run.done.filter(({ followed = 0 }) => followed > limit).length}`,
    `  longest stall of the observer: ${observer.longestStall} ms`,
  ].join('\n');
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
