import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type TestLab, until } from './lab.ts';

const AGENT = fileURLToPath(new URL('transfer-agent.mjs', import.meta.url));
let lastPort = 7100;

type Outcome =
  | {
      readonly bytes: number;
      readonly sha256: string;
      /** Of the receiver: the longest time without bytes. Milliseconds. */
      readonly longestGap?: number;
    }
  | { readonly error: string };

/** One TCP connection through the overlay, that carries bytes until `finish`. */
export class Transfer {
  readonly #sender: AgentProcess;
  readonly #receiver: AgentProcess;

  private constructor(sender: AgentProcess, receiver: AgentProcess) {
    this.#sender = sender;
    this.#receiver = receiver;
  }

  /** @param rate bytes a second, at most. Resolves when bytes flow. */
  static async start(
    lab: TestLab,
    from: { readonly namespace: string; readonly address: string },
    to: { readonly namespace: string },
    rate: number,
  ): Promise<Transfer> {
    const port = String(++lastPort);
    const agent = (namespace: string, ...words: string[]) =>
      new AgentProcess(lab.spawn(namespace, process.execPath, AGENT, ...words));
    const sender = agent(from.namespace, 'send', port, String(rate));
    await until('the sender listens', () => sender.isListening);
    const transfer = new Transfer(sender, agent(to.namespace, 'receive', from.address, port));
    await transfer.goesOn();
    return transfer;
  }

  /** Resolves when more bytes have come than by now. Rejects when the connection has broken, or none come. */
  async goesOn(timeout = 20_000): Promise<void> {
    const before = this.#receiver.progress;
    await until(
      'more bytes have come over the connection',
      () => {
        for (const { outcome } of [this.#sender, this.#receiver])
          if (outcome !== undefined && 'error' in outcome)
            throw new Error(`the connection: ${outcome.error}`);
        return this.#receiver.progress > before;
      },
      timeout,
    );
  }

  /** Ends it. Resolves to what each end has seen: the same, or the connection has failed. */
  async finish(): Promise<{ readonly sent: Outcome | undefined; readonly received: Outcome | undefined }> {
    this.#sender.child.stdin?.end();
    await until(
      'both ends are done',
      () => this.#sender.outcome !== undefined && this.#receiver.outcome !== undefined,
      20_000,
    );
    return { sent: this.#sender.outcome, received: this.#receiver.outcome };
  }
}

class AgentProcess {
  readonly child: ChildProcess;
  isListening = false;
  progress = 0;
  outcome: Outcome | undefined;

  constructor(child: ChildProcess) {
    this.child = child;
    if (child.stdout === null) throw new Error('the agent has no standard output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line) as { listening?: number; progress?: number } | Outcome;
      if ('listening' in event) this.isListening = true;
      else if ('progress' in event) this.progress = event.progress ?? 0;
      else this.outcome = event as Outcome;
    });
    child.once('exit', (code, signal) => {
      if (code !== 0) this.outcome ??= { error: `the agent has ended (${signal ?? code})` };
    });
  }
}
