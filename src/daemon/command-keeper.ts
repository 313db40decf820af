import type { CommandState, OperatorCommand } from '../backend/backend.ts';
import type { OperatorCommands } from './daemon-parts.ts';

/** Runs the operator's commands of the extension backend, and keeps a record of which have been. */
export class CommandKeeper implements OperatorCommands {
  async start(_command: OperatorCommand): Promise<string> {
    return '';
  }

  async ensure(_wish: CommandState | undefined): Promise<void> {}
}
