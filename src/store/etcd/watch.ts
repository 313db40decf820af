import { setTimeout as sleep } from 'node:timers/promises';
import { CorduroyError } from '../../errors.ts';
import type { Revision, WatchEvent } from '../store.ts';
import { Backoff } from './backoff.ts';
import type { EtcdClient } from './client.ts';
import type { EtcdConnection } from './connection.ts';
import { listKeys } from './list.ts';
import type { BackoffOptions } from './options.ts';
import { unlessAborted } from './unless-aborted.ts';
import { byRevision, prefixRange } from './wire.ts';

export interface WatchContext {
  readonly connection: EtcdConnection;
  readonly backoff: BackoffOptions;
  readonly random: () => number;
}

/**
 * The watch primitive: everything that can go wrong leads to the same place, a fresh snapshot.
 *
 *     list at revision R ─► open watch from R+1 ─► snapshot ─► delta, delta, … ─┐
 *        ▲                                                                      │ any fault
 *        └──────────────── pause, growing, jittered ◄── interrupted ◄───────────┘
 *
 * `interrupted` comes once for a row of faults of the same kind, however many tries it takes; also before the first
 * snapshot. The list refreshes an authentication token, which a stream cannot, and each round takes the latest
 * certificates and password.
 *
 * There is no queue: one response is taken from gRPC when the consumer asks for more. While it does not, flow control
 * holds etcd back, which then serves this watcher from its history; if that is compacted away meanwhile, it cancels
 * the watch, and the consumer catches up by a snapshot. Memory stays bounded on both sides.
 */
export async function* watchPrefix(
  context: WatchContext,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent, void, undefined> {
  const backoff = new Backoff(context.backoff, context.random);
  const operation = `watch the keys under "${prefix}"`;
  let told: string | undefined;
  let everFollowed = false;
  while (!signal.aborted) {
    let followedSince = Number.POSITIVE_INFINITY;
    const { client, stale, release } = context.connection.take();
    try {
      for await (const event of follow(client, prefix, AbortSignal.any([signal, stale]))) {
        if (event.kind === 'snapshot') {
          followedSince = performance.now();
          everFollowed = true;
          told = undefined;
        }
        yield event;
      }
    } catch (thrown) {
      if (signal.aborted) return;
      const error = stale.aborted ? undefined : client.toStoreError(thrown, operation);
      if (error !== undefined && error.code !== told) yield { kind: 'interrupted', error };
      told = error?.code;
      // The connection may be full of what nobody will read any more, and hold back every other answer.
      if (thrown instanceof Lagged) context.connection.renew();
    } finally {
      release();
    }
    // A watch that breaks as soon as it stands must not be tried again at full speed for ever.
    if (performance.now() - followedSince > context.backoff.maxMs) backoff.reset();
    await pause(backoff.next(everFollowed ? context.backoff.maxMs : context.backoff.firstMaxMs), signal);
  }
}

/** One list and one watch stream. Throws whatever ends it; returns only when the signal has aborted. */
async function* follow(
  client: EtcdClient,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent, void, undefined> {
  const { revision, entries } = await unlessAborted(listKeys(client, prefix), signal);
  const stream = await client.watchStream();
  let late = false;
  const tooLate = setTimeout(() => {
    late = true;
    stream.stop();
  }, client.requestTimeoutMs);
  const stop = () => stream.stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    if (signal.aborted) return;
    stream.write({
      create_request: {
        ...prefixRange(Buffer.from(prefix)),
        start_revision: String(revision + 1n),
        // Never `fragment`: etcd then sends all events of a revision in one response.
      },
    });
    let cursor = revision;
    for await (const response of stream) {
      if (signal.aborted) return;
      if (response.canceled)
        throw canceled(prefix, cursor, response.compact_revision, response.cancel_reason);
      if (response.created) {
        clearTimeout(tooLate);
        yield { kind: 'snapshot', revision, entries };
      }
      // A progress notification has no events, and leaves the cursor alone.
      for (const group of byRevision(response.events)) {
        if (signal.aborted) return;
        if (group.revision <= cursor) continue;
        cursor = group.revision;
        yield { kind: 'delta', ...group };
      }
    }
    if (!signal.aborted) throw lost(prefix, 'etcd ended the stream');
  } catch (thrown) {
    throw late ? lost(prefix, `etcd did not confirm it within ${client.requestTimeoutMs} ms`) : thrown;
  } finally {
    clearTimeout(tooLate);
    signal.removeEventListener('abort', stop);
    stream.stop();
  }
}

/** This watcher was so far behind that etcd has compacted away what comes next. */
class Lagged extends CorduroyError {}

function canceled(prefix: string, cursor: Revision, compacted: string, reason: string): CorduroyError {
  if (compacted === '0') return lost(prefix, `etcd canceled it${reason === '' ? '' : `: ${reason}`}`);
  const { code, message } = lost(
    prefix,
    `what followed revision ${cursor} was compacted away at ${compacted}`,
  );
  return new Lagged(code, message, { retryable: true });
}

/** A watch that ended without a gRPC error. The list that follows brings the error proper, if there is one. */
function lost(prefix: string, why: string): CorduroyError {
  return new CorduroyError(
    'store-unavailable',
    `the watch of the keys under "${prefix}" broke: ${why}; reading them again`,
    { retryable: true },
  );
}

/** Resolves after the time, or at once when the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
