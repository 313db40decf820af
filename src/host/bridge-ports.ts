import type { ObservedHost, Port } from './state.ts';

/**
 * The ports of the managed bridge as last known. The kernel tells when one is attached; when one is taken away, it cannot
 * be told from what happens to all ports while their bridge is deleted, so that the next look at a bridge that stands does.
 */
export class BridgePorts {
  readonly #bridge: string | undefined;
  #ports = new Map<number, string>();

  constructor(bridge: string | undefined) {
    this.#bridge = bridge;
  }

  get known(): Port[] {
    return [...this.#ports].map(([index, name]) => ({ index, name }));
  }

  attached({ index, name }: Port): void {
    this.#ports.set(index, name);
  }

  look({ links }: ObservedHost): void {
    if (!links.some(({ name }) => name === this.#bridge)) return;
    const ports = links.filter(({ master }) => master === this.#bridge);
    this.#ports = new Map(ports.flatMap(({ index, name }) => (index === undefined ? [] : [[index, name]])));
  }
}
