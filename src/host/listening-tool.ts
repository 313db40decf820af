import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import { streamLines } from './exec.ts';

/** A command that prints what it hears for as long as it runs. */
export interface ListeningTool {
  readonly command: string;
  readonly args: readonly string[];
  /** What it hears of, in words. */
  readonly hearsOf: string;
  /** Called for each start of the tool, for what reads its lines. */
  readonly reader: () => (line: string) => void;
  /** It hears from now on, or no longer. What was before `true` may have been missed. */
  readonly onHearing: (hears: boolean) => void;
  /** It has complained: it may have missed something, and goes on. */
  readonly onLoss: () => void;
}

export interface ToolLog {
  info(message: string): void;
  warn(message: string): void;
}

/** Milliseconds until a tool that was started is taken to listen: it does not say so. */
const LISTENS_AFTER = 300;
/** Milliseconds. A tool that ends is started again after the shortest pause, and after twice that each time. */
const PAUSE = { shortest: 1000, longest: 60_000 } as const;

/** Keeps the tool running until the signal aborts, and resolves when it is gone. That it cannot be had is said once. */
export async function keepListening(tool: ListeningTool, log: ToolLog, signal: AbortSignal): Promise<void> {
  let pause: number = PAUSE.shortest;
  let said = false;
  while (!signal.aborted) {
    let hears = false;
    let complaint = '';
    const listening = setTimeout(() => {
      hears = true;
      if (said) log.info(`changes of ${tool.hearsOf} are noticed at once again`);
      said = false;
      tool.onHearing(true);
    }, LISTENS_AFTER);
    const startedAt = performance.now();
    const ending = await listen(tool, signal, (line) => {
      complaint = line;
      tool.onLoss();
    });
    clearTimeout(listening);
    if (signal.aborted) return;
    if (hears) tool.onHearing(false);
    if (!said) {
      log.warn(
        `${ending.text}${complaint && `, saying "${complaint}"`}: changes of ${tool.hearsOf} are looked for every few ` +
          'seconds until it can be had',
      );
    }
    said = true;
    if (performance.now() - startedAt > PAUSE.longest) pause = PAUSE.shortest;
    await sleep(ending.missing ? PAUSE.longest : pause, undefined, { signal }).catch(() => undefined);
    pause = Math.min(pause * 2, PAUSE.longest);
  }
}

async function listen(
  { command, args, reader }: ListeningTool,
  signal: AbortSignal,
  onComplaint: (line: string) => void,
): Promise<{ text: string; missing: boolean }> {
  try {
    const how = await streamLines(command, args, { onLine: reader(), onComplaint, signal });
    return { text: `"${command} ${args.join(' ')}" has ended (${how})`, missing: false };
  } catch (error) {
    return { text: messageOf(error), missing: true };
  }
}
