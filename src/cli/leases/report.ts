import type { Plan } from '../../lease/administration/plan.ts';
import { printable } from '../../printable.ts';
import { print, printJson } from '../context.ts';

/** Enough for a sentence that names keys, hosts and a reason. */
const LINE = 600;

/** What every command that changes leases prints: what it has done, and what to know beside it. */
export function report({ action, key, says, notes }: Plan, json: boolean): void {
  if (json) {
    printJson({ schema: 1, action, changed: action !== 'nothing', key, message: says, notes });
  } else {
    print([says, ...notes.map((note) => `note: ${note}`)].map((line) => printable(line, LINE)).join('\n'));
  }
}
