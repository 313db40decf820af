import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { wholeNumber } from '../config/command-line.ts';
import type { StatusDocument } from '../daemon/status.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { print, withDaemonFlags } from './context.ts';
import { readStatus } from './status.ts';

/** Milliseconds between two looks. */
const POLL = 100;

export function waitCommand(): Command {
  const command = new Command('wait')
    .description('wait until the daemon of this host is ready: subnet.env written, routes in place')
    .option('--peers <N>', 'and knows at least N peers', wholeNumber(0, 1_000_000), 0)
    .option('--timeout <SECONDS>', 'give up after this long', wholeNumber(1, 86_400), 60)
    .addHelpText(
      'after',
      `
Exit code: 0 it is ready, 4 the time is up (standard error says what it was waiting for).

Examples:
  corduroy wait && systemctl start docker
  corduroy wait --peers 2 --timeout 120
`,
    )
    .action(async ({ peers, timeout }: { peers: number; timeout: number }) => {
      const deadline = performance.now() + timeout * 1000;
      for (;;) {
        const lacking = await look(command, peers, Math.max(deadline - performance.now(), POLL));
        if (lacking === undefined) return;
        if (performance.now() > deadline)
          throw new CorduroyError('timeout', `not ready after ${timeout} s: ${lacking}`);
        await sleep(POLL);
      }
    });
  return withDaemonFlags(command);
}

/** @returns what is missing, or `undefined` when all is there */
async function look(command: Command, peers: number, timeout: number): Promise<string | undefined> {
  let status: StatusDocument;
  try {
    status = await readStatus(command, timeout);
  } catch (error) {
    if (isCode(error, 'no-daemon') || isCode(error, 'timeout')) return error.message;
    throw error;
  }
  if (!status.ready) return status.problems.join('; ');
  if (status.peers.length < peers) return `it knows ${status.peers.length} of ${peers} peers`;
  print(`ready: ${status.lease?.subnets.join(' ')}, peers: ${status.peers.length}`);
  return undefined;
}
