import { rmSync } from 'node:fs';
import { describeStep, planLeave } from './command-plan.ts';
import { readCommandRecord } from './command-record.ts';
import { runOperatorCommand } from './operator-command.ts';

export interface CommandsLeft {
  /** Phrases. */
  readonly ran: readonly string[];
  /** Sentences. */
  readonly failures: readonly string[];
}

/**
 * Runs, for `corduroy down`, what takes away what the extension backend's commands have made: from the record alone, once
 * each, and removes the record. The network config is not asked: it may have changed, or etcd be gone.
 * @param path of the record
 */
export async function leaveCommands(path: string): Promise<CommandsLeft> {
  const ran: string[] = [];
  const failures: string[] = [];
  for (const step of planLeave(readCommandRecord(path).record)) {
    if (step.command === undefined) continue;
    const what = describeStep(step);
    const { failure } = await runOperatorCommand(what, step.command, { say: () => undefined });
    if (failure === undefined) ran.push(`what ${what} takes away`);
    else failures.push(failure);
  }
  rmSync(path, { force: true });
  return { ran, failures };
}
