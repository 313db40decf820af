import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  LEASE_STATES,
  type LeaseEvent,
  type LeaseStateName,
  nextLeaseState,
} from '../../../src/lease/lease-state.ts';

const ROOT = join(import.meta.dirname, '../../..');
const DOCUMENT = join(ROOT, 'docs/leases.md');
const EVENTS: readonly LeaseEvent[] = [
  'acquired',
  'remembered',
  'due',
  'renewed',
  'unanswered',
  'doubted',
  'gone',
  'taken',
  'released',
];

/** What each event leads to, in the order of EVENTS; `·` stays. */
const TABLE: Readonly<Record<LeaseStateName, string>> = {
  //          acquired remembered due      renewed unanswered doubted gone taken      released
  acquiring: 'held     at-risk    ·        ·       ·          ·       ·    ·          ·',
  held: '     ·        ·          renewing ·       ·          at-risk lost conflicted acquiring',
  renewing: ' ·        ·          ·        held    at-risk    at-risk lost conflicted acquiring',
  'at-risk': 'held     ·          ·        held    ·          ·       lost conflicted acquiring',
  lost: '     held     ·          ·        ·       ·          ·       ·    conflicted ·',
  conflicted: 'held    ·          ·        ·       ·          ·       lost ·          ·',
};
const CASES = (Object.entries(TABLE) as [LeaseStateName, string][]).flatMap(([state, row]) =>
  row
    .trim()
    .split(/\s+/)
    .map((next, index): [LeaseStateName, LeaseEvent, string] => [
      state,
      EVENTS[index] as LeaseEvent,
      next === '·' ? state : next,
    ]),
);

describe('every state and event', () => {
  test.each(CASES)('%s, %s: %s', (state, event, next) => {
    expect(nextLeaseState(state, event)).toBe(next);
  });

  test('and none was forgotten', () => {
    expect(Object.keys(LEASE_STATES).sort()).toEqual(Object.keys(TABLE).sort());
    const known = Object.values(LEASE_STATES).flatMap((row) => Object.keys(row));
    expect([...new Set(known)].sort()).toEqual([...EVENTS].sort());
    expect(CASES).toHaveLength(6 * EVENTS.length);
  });
});

test('etcd confirms the lease: held, from wherever it was in doubt', () => {
  const doubtful = ['acquiring', 'at-risk', 'lost', 'conflicted'] as const;
  expect(doubtful.map((state) => nextLeaseState(state, 'acquired'))).toEqual(doubtful.map(() => 'held'));
});

test('the table in docs/leases.md says the same', () => {
  const rows = readFileSync(DOCUMENT, 'utf8').match(
    /^\| *state *\| *event *\| *next state *\|\n(?:\|.*\n)+/m,
  );
  const documented = (rows?.[0] ?? '')
    .trim()
    .split('\n')
    .slice(2)
    .map((row) =>
      row
        .split('|')
        .map((cell) => cell.replaceAll('`', '').trim())
        .join(' ')
        .trim(),
    );
  const coded = Object.entries(LEASE_STATES).flatMap(([state, events]) =>
    Object.entries(events).map(([event, next]) => `${state} ${event} ${next}`),
  );
  expect(documented.sort()).toEqual(coded.sort());
});

/** A wall clock that jumps, for an hour or a year, must not end a lease or renew it late. */
test('no source file of leases asks the wall clock', () => {
  const folder = join(ROOT, 'src/lease');
  const files = readdirSync(folder).filter((name) => name.endsWith('.ts'));
  const asking = files.filter((name) => /\bDate\b/.test(readFileSync(join(folder, name), 'utf8')));
  expect(files.length).toBeGreaterThan(10);
  expect(asking).toEqual([]);
});
