import type { Checked, NetworkConfig } from '../config/network-config.ts';
import type { BackendDesign, BackendKind } from './backend.ts';
import { udp } from './udp/udp.ts';

const BACKENDS: readonly BackendKind[] = [udp];

/** Checks what a network config asks of its backend, and finds who carries it out. */
export function checkBackend({ backend, ranges }: NetworkConfig): Checked<BackendDesign> {
  const kind = BACKENDS.find(({ type }) => type === backend.type);
  if (kind === undefined) {
    const rule = `has to be one of ${BACKENDS.map(({ type }) => type).join(', ')}: the others are not built yet`;
    return {
      value: undefined,
      problems: [{ key: 'Backend.Type', value: backend.type, rule }],
      unknownKeys: [],
    };
  }
  const beyond = ranges.find(({ network }) => !kind.families.includes(network.family));
  if (beyond !== undefined) {
    const { family } = beyond.network;
    const rule = `has to be false: the ${kind.type} backend does not carry IPv${family} yet`;
    return {
      value: undefined,
      problems: [{ key: `EnableIPv${family}`, value: true, rule }],
      unknownKeys: [],
    };
  }
  return kind.check(
    backend.options,
    ranges.map(({ network }) => network.family),
  );
}
