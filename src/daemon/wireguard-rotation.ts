import type { WireguardKey } from '../backend/backend.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { formatLeaseValue } from '../lease/lease-record.ts';
import type { Log } from '../observe/log.ts';
import type { Store } from '../store/store.ts';
import type { Daemon } from './daemon.ts';
import { newKey, type WireguardKeys } from './wireguard-keys.ts';

export interface RotationParts {
  readonly keys: WireguardKeys;
  readonly store: Pick<Store, 'get'>;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** Aborted when the daemon ends: from then on the keys are another one's, and nothing is written. */
  readonly signal: AbortSignal;
}

/** What is asked of the daemon. */
export type RotatingDaemon = Pick<Daemon, 'config' | 'leases' | 'view' | 'ready' | 'problems' | 'hint'>;

/** What a rotation has changed, public keys only. */
export interface Rotation {
  readonly before: string;
  readonly after: string;
  /** The key of the lease that says so. */
  readonly lease: string;
  /** Milliseconds from the new key on the device to the confirmation that etcd has it. */
  readonly tookMs: number;
}

/** Milliseconds within which etcd has to have the new key. */
const PUBLISH_WITHIN = 5000;
/** Milliseconds between two looks. */
const POLL = 10;

/**
 * Gives this host another WireGuard key: on disk, on its device, then in its lease. No packet is lost by that order.
 * What others send by the sessions there are is taken until they have heard of the new key; what is sent to them waits
 * (WireGuard keeps 128 packets a peer) until they greet this host anew, which they do as soon as they have.
 *
 * @throws CorduroyError `usage` where the network has no such key; `store-unavailable` where etcd does not answer, and
 *   then the key before is back in use; `daemon-refused` when the daemon ends meanwhile: its successor goes by the key
 *   on disk, which is the new one if it had got there
 */
export async function rotateWireguardKey(
  daemon: RotatingDaemon,
  { keys, store, log, now, sleep, signal }: RotationParts,
): Promise<Rotation> {
  const [name] = daemon.config?.backend.needs?.wireguardKeys ?? [];
  if (name === undefined) {
    const text =
      'the network does not go by the wireguard backend: this host has no key to rotate (corduroy config get)';
    throw new CorduroyError('usage', text);
  }
  const before = keyOf(name, keys);
  await requireSettled(daemon, store);
  if (signal.aborted) throw ended('the key of this host is still the one before');
  const after = newKey();
  const started = now();
  keys.replace(new Map([[name, after]]));
  daemon.hint('host');
  while (now() - started < PUBLISH_WITHIN) {
    const { held } = daemon.leases;
    if (held !== undefined && formatLeaseValue(held.attributes).includes(after.publicKey)) {
      const tookMs = Math.round(now() - started);
      log.info(
        `the WireGuard key of this host is another one now: ${after.publicKey}, published after ${tookMs} ms`,
      );
      return { before: before.publicKey, after: after.publicKey, lease: held.key, tookMs };
    }
    await sleep(POLL);
    if (signal.aborted) throw ended(`the new key ${after.publicKey} is on disk, and the lease gets it next`);
  }
  keys.replace(new Map([[name, before]]));
  daemon.hint('host');
  const why = daemon.problems.join('; ') || messageOf(daemon.view.fault ?? 'it answers too slowly');
  throw new CorduroyError(
    'store-unavailable',
    `the new WireGuard key was not in the lease within ${PUBLISH_WITHIN / 1000} s, and the one before is back in use: ` +
      why,
    { retryable: true },
  );
}

function keyOf(name: string, keys: WireguardKeys): WireguardKey {
  const key = keys.get([name]).get(name);
  if (key === undefined) throw new CorduroyError('host-file', `there is no WireGuard key ${name}`);
  return key;
}

/** Whoever does not hear of the new key cannot be sent to. */
async function requireSettled(
  { view, leases, ready, problems }: RotatingDaemon,
  store: RotationParts['store'],
): Promise<void> {
  const isHeld = leases.held !== undefined && leases.state.name !== 'at-risk';
  const isKnown = view.complete && view.fault === undefined && view.remembered === undefined;
  if (!isHeld || !isKnown || !ready) throw stays(problems.join('; ') || 'this host is being set up');
  try {
    await store.get(view.configKey);
  } catch (error) {
    throw stays(messageOf(error), error);
  }
}

function ended(state: string): CorduroyError {
  return new CorduroyError(
    'daemon-refused',
    `corduroyd took up other settings, or ended, while the key was rotated: ${state}. ` +
      'Once it runs again: corduroy status',
  );
}

function stays(why: string, cause?: unknown): CorduroyError {
  const text = `the other hosts could not hear of a new key, so this one stays: ${why}`;
  return new CorduroyError('store-unavailable', text, { cause, retryable: true });
}
