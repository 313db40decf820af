import { messageOf } from '../errors.ts';
import { run } from '../host/exec.ts';
import { printable } from '../printable.ts';

/** What the service manager shows of this process. */
export interface ServiceState {
  /** What waits for this service may start. It is said once, and never taken back: sd_notify(3) has no word for that. */
  readonly ready: boolean;
  /** One line for people, in `systemctl status`. */
  readonly status: string;
}

/** Milliseconds between two messages: what changes faster than that is for the log. */
const PAUSE = 1000;
/** The same after one that could not be sent. */
const PAUSE_AFTER_FAULT = 10_000;
/** systemd takes no message above 4096 bytes (NOTIFY_BUFFER_MAX); a character may have four. */
const LONGEST_STATUS = 900;

/**
 * Sends variables of sd_notify(3), where the service manager asks for them: elsewhere nothing is done. By
 * systemd-notify(1), since Node has no datagram sockets of the Unix kind; the unit needs NotifyAccess=all for that.
 */
export async function notifySystemd(variables: readonly string[]): Promise<void> {
  if ((process.env.NOTIFY_SOCKET ?? '') !== '') await run('systemd-notify', variables);
}

/** Says why a process that is about to end cannot go on. Never rejects. */
export async function notifyFailure(text: string): Promise<void> {
  await notifySystemd([statusVariable(text)]).catch(() => undefined);
}

/** The status line of a daemon. @param network what it has when it is ready: subnets and peers */
export function statusText(ready: boolean, network: string, problems: readonly string[]): string {
  const [first, ...others] = problems;
  const more = others.length === 0 ? '' : ` (and ${others.length} more: corduroy status)`;
  if (first === undefined) return `ready: ${network}`;
  return ready ? `ready: ${network}; but ${first}${more}` : `${first}${more}`;
}

/** Milliseconds between two signs of life; `undefined`: none are asked for. See sd_watchdog_enabled(3). */
export function watchdogInterval(
  { WATCHDOG_USEC, WATCHDOG_PID }: NodeJS.ProcessEnv,
  pid: number,
): number | undefined {
  const timeout = Number(WATCHDOG_USEC ?? 0) / 1000;
  const forOther = WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== pid;
  return timeout > 0 && !forOther ? timeout / 2 : undefined;
}

/** Keeps the service manager told, with one process for each change at most. */
export class ServiceNotifier {
  readonly #send: (variables: readonly string[]) => Promise<void>;
  readonly #complain: (text: string) => void;
  #wanted: ServiceState | undefined;
  #saidReady = false;
  #said: string | undefined;
  #works = false;
  #stopped = false;
  #complained = false;
  #hurry: () => void = () => undefined;

  /** @param complain is called once, when nothing can be said */
  constructor(send: (variables: readonly string[]) => Promise<void>, complain: (text: string) => void) {
    this.#send = send;
    this.#complain = complain;
  }

  /** Has it said soon, if it is news; of states that follow each other quickly the last one counts. */
  tell(state: ServiceState): void {
    this.#wanted = state;
    if (state.ready && !this.#saidReady) this.#hurry();
    if (!this.#works) void this.#work();
  }

  /** A sign of life. */
  async live(): Promise<void> {
    await this.#attempt(['WATCHDOG=1']);
  }

  /** The last word. */
  async stopping(status: string): Promise<void> {
    this.#stopped = true;
    await this.#attempt(['STOPPING=1', statusVariable(status)]);
  }

  async #work(): Promise<void> {
    this.#works = true;
    while (!this.#stopped && this.#wanted !== undefined) {
      const { ready, status } = this.#wanted;
      const isNews = status !== this.#said;
      const becomesReady = ready && !this.#saidReady;
      if (!isNews && !becomesReady) break;
      const done = await this.#attempt([...(becomesReady ? ['READY=1'] : []), statusVariable(status)]);
      if (done) {
        this.#said = status;
        this.#saidReady ||= ready;
      }
      const waitsForReady = this.#wanted.ready && !this.#saidReady;
      if (!done || !waitsForReady) await this.#pause(done ? PAUSE : PAUSE_AFTER_FAULT);
    }
    this.#works = false;
  }

  async #attempt(variables: readonly string[]): Promise<boolean> {
    try {
      await this.#send(variables);
      return true;
    } catch (error) {
      if (!this.#complained) this.#complain(`systemd cannot be told how this daemon is: ${messageOf(error)}`);
      this.#complained = true;
      return false;
    }
  }

  /** Somebody waits for this service to be ready: that is said at once. */
  async #pause(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function statusVariable(text: string): string {
  return `STATUS=${printable(text, LONGEST_STATUS)}`;
}
