import { setMaxListeners } from 'node:events';
import { CorduroyError } from '../../errors.ts';
import { EtcdClient } from './client.ts';
import type { EtcdAccess, EtcdOptions } from './options.ts';
import { unlessAborted } from './unless-aborted.ts';

/** A client that stays open until it is given back. */
export interface TakenClient {
  readonly client: EtcdClient;
  /** Aborts when another is to be taken: its connections are dead, or will be. */
  readonly stale: AbortSignal;
  /** To be called once. */
  release(): void;
}

interface Held {
  readonly client: EtcdClient;
  readonly access: EtcdAccess;
  readonly stale: AbortController;
  /** Calls and watches under way. */
  users: number;
}

/**
 * The client in use, and its successors: gRPC takes certificates when a channel is made, so that new ones, as a new
 * password, mean a new client. What is under way ends on the client it began with, which is closed after that: a watch
 * that lives is not interrupted by a renewed certificate, and takes it up when it has to connect anew.
 */
export class EtcdConnection {
  readonly #options: EtcdOptions;
  readonly #access: () => EtcdAccess;
  /** Those that are not closed; the last one is in use. */
  readonly #open = new Set<Held>();
  #current: Held;
  #closed = false;

  /** @throws CorduroyError `usage` as EtcdClient does */
  constructor(options: EtcdOptions) {
    this.#options = options;
    const constant = { tls: options.tls, credentials: options.credentials };
    this.#access = options.access ?? (() => constant);
    this.#current = this.#connect(this.#access());
  }

  /** @throws CorduroyError as the task does; `store-unavailable` as soon as the connection is known to be dead */
  async use<T>(task: (client: EtcdClient) => Promise<T>): Promise<T> {
    const { client, stale, release } = this.take();
    return unlessAborted(task(client).finally(release), stale);
  }

  /** Looks whether certificates or password have changed: this is the only moment at which it does. */
  take(): TakenClient {
    const held = this.#latest();
    held.users++;
    const release = () => {
      held.users--;
      if (held !== this.#current) this.#closeIfIdle(held);
    };
    return { client: held.client, stale: held.stale.signal, release };
  }

  /** For when the way to etcd has changed. */
  renew(): void {
    if (this.#closed) return;
    this.#replace(this.#access()).stale.abort(
      new CorduroyError(
        'store-unavailable',
        'the connection to etcd is made anew: nobody knows what became of the call',
        {
          retryable: true,
        },
      ),
    );
  }

  /** Breaks what is under way. */
  close(): void {
    this.#closed = true;
    for (const { client } of this.#open) client.close();
    this.#open.clear();
  }

  #latest(): Held {
    if (this.#closed) return this.#current;
    const access = this.#access();
    const former = this.#current;
    if (access !== former.access) this.#replace(access);
    return this.#current;
  }

  /** @returns the one that was in use */
  #replace(access: EtcdAccess): Held {
    const former = this.#current;
    this.#current = this.#connect(access);
    this.#closeIfIdle(former);
    return former;
  }

  #connect(access: EtcdAccess): Held {
    const client = new EtcdClient({ ...this.#options, ...access });
    const stale = new AbortController();
    setMaxListeners(0, stale.signal); // one for every call under way
    const held = { client, access, stale, users: 0 };
    this.#open.add(held);
    return held;
  }

  #closeIfIdle(held: Held): void {
    if (held.users === 0 && this.#open.delete(held)) held.client.close();
  }
}
