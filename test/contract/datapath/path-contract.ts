import { afterEach, beforeEach, describe } from 'vitest';
import { describeConfinement } from './confinement-contract.ts';
import { describeEcn } from './ecn-contract.ts';
import { EngineLab } from './engine-lab.ts';
import { describeFallbacks } from './fallback-contract.ts';
import type { EngineHarness } from './harness.ts';
import { describePathMtu } from './path-mtu-contract.ts';
import { describeQueues } from './queues-contract.ts';

/**
 * What the native engine alone can do, for it uses the kernel to the full, and what it alone gives up. The dgram engine
 * would fail these: node:dgram tells neither of the path MTU nor of the traffic class, and Node.js needs its files.
 */
export function describePath(harness: EngineHarness): void {
  const probe = harness.probe();
  let lab: EngineLab | undefined;

  beforeEach(async (context) => {
    lab = undefined;
    if (!probe.ok) return context.skip(probe.reason);
    lab = await EngineLab.create(harness);
  });
  afterEach(async () => {
    await lab?.remove();
  });
  const theLab = () => {
    if (lab === undefined) throw new Error('no lab');
    return lab;
  };

  describe('path MTU', () => describePathMtu(theLab));
  describe('ECN', () => describeEcn(theLab));
  describe('offloads that are refused', () => describeFallbacks(theLab));
  describe('confinement', () => describeConfinement(theLab));
  describe('queues', () => describeQueues());
}
