import { CorduroyError, messageOf } from '../errors.ts';
import { followRouters } from '../host/ipv6-forwarding.ts';
import type { Log } from '../observe/log.ts';
import type { ContainerSetup } from './container-setup.ts';
import type { SubnetEnv } from './subnet-env.ts';

/** Milliseconds between two looks: an interface may have come. */
const LOOK_EVERY = 30_000;

/**
 * Keeps the host's IPv6 default route where Docker or CNI's plugins connect containers of IPv6: they make a router of the
 * host, which by the kernel's rules loses the routes that it has from other routers' advertisements.
 */
export class RouterGuard implements ContainerSetup {
  readonly name = 'ipv6 routers';
  readonly #log: Log;
  readonly #now: () => number;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param now monotonic milliseconds */
  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  async ensure({ families }: SubnetEnv): Promise<void> {
    if (!families.some(({ subnet }) => subnet.family === 6)) return;
    if (this.#now() - this.#lookedAt < LOOK_EVERY) return;
    try {
      const changed = await followRouters();
      this.#lookedAt = this.#now();
      if (changed.length > 0)
        this.#log.info(`routers' advertisements are taken whoever forwards: ${changed.join(', ')}`);
    } catch (error) {
      const text = `this host may lose its IPv6 default route when containers start: ${messageOf(error)}`;
      throw new CorduroyError('host-command', text, { retryable: true, cause: error });
    }
  }
}
