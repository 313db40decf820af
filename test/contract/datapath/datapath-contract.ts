import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DROP_REASONS } from '../../../src/datapath/datapath.ts';
import { describeConfiguration } from './configuration-contract.ts';
import { describeCongestion } from './congestion-contract.ts';
import { describeControlSocket } from './control-socket-contract.ts';
import { describeDrops } from './drops-contract.ts';
import { describeEnding } from './ending-contract.ts';
import { EngineLab } from './engine-lab.ts';
import { describeForwarding } from './forwarding-contract.ts';
import type { EngineHarness } from './harness.ts';

/** What every engine has to do, shown on the real one, with a real TUN, in a namespace of its own for each test. */
export function describeDatapath(harness: EngineHarness): void {
  const probe = harness.probe();
  let lab: EngineLab;

  beforeEach(async (context) => {
    if (!probe.ok) return context.skip(probe.reason);
    lab = await EngineLab.create(harness);
  });
  afterEach(async () => {
    await lab?.remove();
  });

  describe('configuration', () => describeConfiguration(() => lab));
  describe('forwarding', () => describeForwarding(() => lab));
  describe('drops', () => describeDrops(() => lab));
  describe('congestion', () => describeCongestion(() => lab));
  describe('control socket', () => describeControlSocket(() => lab));
  describe('its end', () => describeEnding(() => lab));

  test('counts under every reason of the protocol', async () => {
    const datapath = await lab.connect();
    expect(Object.keys((await datapath.stats()).drops).sort()).toEqual(Object.keys(DROP_REASONS).sort());
  });
}
