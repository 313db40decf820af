import fc from 'fast-check';
import { expect, test } from 'vitest';
import { accidents, everything, Model, type Step } from './lease-model.ts';

/** MODEL_RUNS=5000 looks harder; a failure prints seed and path to run again. */
const RUNS = { numRuns: Number(process.env.MODEL_RUNS ?? 100) };

async function run(steps: readonly Step[]): Promise<Model> {
  const model = await Model.create();
  for (const step of steps) await model.step(step);
  await model.settle();
  return model;
}

test('whatever happens to etcd and to the hosts: each has the subnet it had, and etcd says so', async () => {
  await fc.assert(
    fc.asyncProperty(accidents, async (steps) => {
      const model = await Model.create();
      const before = await model.holdings();
      for (const step of steps) await model.step(step);
      await model.settle();
      expect(await model.holdings()).toEqual(before);
      expect(model.moves).toEqual([]);
    }),
    RUNS,
  );
}, 60_000);

test('with others who write as well: no two hosts share a subnet, and nobody moves who need not', async () => {
  await fc.assert(
    fc.asyncProperty(everything, async (steps) => {
      const model = await run(steps);
      const holdings = await model.holdings();
      expect(holdings.filter((text) => text.startsWith('host'))).toEqual([]);
      expect(new Set(holdings).size).toBe(holdings.length);
      expect(model.moves.filter((text) => text.includes('nobody’s'))).toEqual([]);
    }),
    RUNS,
  );
}, 60_000);
