import type { Server } from 'node:http';
import type { FlagValues } from '../config/flags.ts';
import { serveHealth } from './control-server.ts';

type Place = Pick<FlagValues, 'healthz-ip' | 'healthz-port'>;

const NOWHERE: Place = { 'healthz-ip': '', 'healthz-port': 0 };

/** Serves /healthz and /readyz where the flags say, or nowhere. */
export class HealthEndpoint {
  readonly #isReady: () => boolean;
  #place = NOWHERE;
  #server: Server | undefined;

  constructor(isReady: () => boolean) {
    this.#isReady = isReady;
  }

  /** @throws CorduroyError `held` when it cannot be served there; then it stays where it was */
  async moveTo(place: Place): Promise<void> {
    const before = this.#place;
    if (isSame(place, before)) return;
    // First: one address may be part of the other (0.0.0.0).
    this.close();
    try {
      await this.#open(place);
    } catch (error) {
      await this.#open(before);
      throw error;
    }
  }

  close(): void {
    this.#server?.close();
    this.#server = undefined;
    this.#place = NOWHERE;
  }

  async #open(place: Place): Promise<void> {
    const { 'healthz-ip': ip, 'healthz-port': port } = place;
    if (port !== 0) this.#server = await serveHealth(ip, port, this.#isReady);
    this.#place = place;
  }
}

function isSame(one: Place, other: Place): boolean {
  return one['healthz-port'] === other['healthz-port'] && one['healthz-ip'] === other['healthz-ip'];
}
