import { isDeepStrictEqual } from 'node:util';
import type { CommandState, OperatorCommand, PeerCommands } from '../backend/backend.ts';
import type { CommandRecord } from './command-record.ts';

/** One thing to run, and to put on record; without a command it is only put on record. */
export type Step =
  | { readonly do: 'start'; readonly command: OperatorCommand }
  | {
      readonly do: 'add';
      /** Of the lease. */
      readonly key: string;
      readonly peer: PeerCommands;
      readonly command?: OperatorCommand;
      /** Run before, and may fail: takes away what was there of the peer, or of an attempt that failed. */
      readonly clean?: OperatorCommand;
    }
  | { readonly do: 'remove'; readonly key: string; readonly command?: OperatorCommand }
  | { readonly do: 'shutdown'; readonly command?: OperatorCommand };

/**
 * What there is to do so that the commands of `wish` have been run, in order. Peers that have gone come first: another
 * one may have got their subnet. No peer is added before the host's own start has succeeded.
 */
export function planCommands(record: CommandRecord, wish: CommandState | undefined): Step[] {
  if (wish === undefined) return planLeave(record);
  const { peers } = record;
  const gone = Object.keys(peers).filter((key) => !wish.peers.has(key));
  const steps = gone.map((key) => removal(record, key));
  if (wish.started !== undefined && !isStarted(record, wish)) {
    return [...steps, { do: 'start', command: wish.started }];
  }
  for (const [key, peer] of wish.peers) {
    const { added, removed } = peer;
    const before = peers[key];
    if (before?.done && isDeepStrictEqual(before.added, added)) {
      if (!isDeepStrictEqual(before.removed, removed)) steps.push({ do: 'add', key, peer });
      continue;
    }
    const clean = before?.removed;
    steps.push({ do: 'add', key, peer, ...(added && { command: added }), ...(clean && { clean }) });
  }
  return steps;
}

/** To leave nothing behind: the peers first, for what they have stands on what the host has. */
export function planLeave(record: CommandRecord): Step[] {
  const { started, printed, shutdown } = record;
  const steps = Object.keys(record.peers).map((key) => removal(record, key));
  if (started === undefined && printed === undefined && shutdown === undefined) return steps;
  return [...steps, { do: 'shutdown', ...(shutdown && { command: shutdown }) }];
}

/** Whether what this host needs itself has been run. */
export function isStarted(record: CommandRecord, wish: CommandState | undefined): boolean {
  return wish?.started === undefined || isDeepStrictEqual(record.started, wish.started);
}

/** Tells one step from another, however often it is planned: the same command with other values is another one. */
export function stepId(step: Step): string {
  return JSON.stringify([step.do, 'key' in step ? step.key : '', step.command]);
}

/** What a step is about, in a sentence and as its name. */
export function describeStep(step: Step): string {
  const option = step.command?.option ?? step.do;
  return 'key' in step ? `${option} for ${step.key.slice(step.key.lastIndexOf('/') + 1)}` : option;
}

function removal({ peers }: CommandRecord, key: string): Step {
  const command = peers[key]?.removed;
  return { do: 'remove', key, ...(command && { command }) };
}
