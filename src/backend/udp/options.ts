import type { Document, Problem } from '../../config/document.ts';
import type { Checked } from '../../config/network-config.ts';
import { ENGINES, type EngineKind } from '../../datapath/datapath.ts';

/** Flannel's default. */
const DEFAULT_PORT = 8285;

export interface UdpOptions {
  readonly port: number;
  readonly strictSource: boolean;
  readonly engine: EngineKind;
  /**
   * Let the outer header carry the inner ECN bits (RFC 6040). Then a router on the way marks packets instead of dropping
   * them, and the receiving end has to bring the mark back to the inner header, or the sender never slows down. flanneld
   * and the dgram engine do not: only for a cluster where every host runs the native engine.
   */
  readonly ecn: boolean;
  /** Send plainly to peers on the same link that have it, too. */
  readonly directRouting: boolean;
}

/** Of `Backend` in the network config. */
export function parseUdpOptions(options: Document): Checked<UdpOptions> {
  const problems: Problem[] = [];
  const port = options.integer('Port', problems, 1, 65_535) ?? DEFAULT_PORT;
  const strictSource = options.boolean('StrictSource', problems) ?? true;
  const engine = options.choice('Engine', problems, ENGINES) ?? 'native';
  const ecn = options.boolean('ECN', problems) ?? false;
  const directRouting = options.boolean('DirectRouting', problems) ?? false;
  if (ecn && engine === 'dgram') {
    problems.push({ key: 'Backend.ECN', value: true, rule: 'has to be false with the dgram engine' });
  }
  return {
    value: problems.length === 0 ? { port, strictSource, engine, ecn, directRouting } : undefined,
    problems,
    unknownKeys: options.keysBut(['Type', 'Port', 'StrictSource', 'Engine', 'ECN', 'DirectRouting']),
  };
}
