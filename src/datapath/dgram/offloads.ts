import type { OffloadStatus } from '../datapath.ts';

/** Which offloads this engine has: TCP segments across the TUN, where the device was started for it, and no other. */
export class Offloads {
  #tunTso: OffloadStatus;

  /** @param started whether the device was attached with a virtio header */
  constructor(started: boolean) {
    this.#tunTso = started
      ? { offload: 'tun-tso', state: 'on', reason: '' }
      : { offload: 'tun-tso', state: 'off', reason: 'started without --vnet-hdr' };
  }

  /** Whether segments are to be joined. */
  get joins(): boolean {
    return this.#tunTso.state === 'on';
  }

  switchedOff(): void {
    this.#tunTso = { offload: 'tun-tso', state: 'off', reason: 'offload is switched off' };
  }

  loseTunTso(reason: string): void {
    this.#tunTso = { offload: 'tun-tso', state: 'lost', reason };
  }

  status(): OffloadStatus[] {
    const none = (offload: OffloadStatus['offload'], reason: string): OffloadStatus => ({
      offload,
      state: 'off',
      reason,
    });
    return [
      this.#tunTso,
      none('tun-uso', 'this engine joins TCP alone'),
      none('udp-segment', 'node:dgram has none'),
      none('udp-gro', 'node:dgram has none'),
      none('batch', 'node:dgram has none'),
    ];
  }
}
