import { describe, expect, test } from 'vitest';
import type { DatapathState } from '../../../src/backend/backend.ts';
import { DatapathKeeper } from '../../../src/daemon/datapath-keeper.ts';
import { CorduroyError } from '../../../src/errors.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { RecordedLog } from '../lease/recorded-log.ts';
import { FakeEngine } from './fake-engine.ts';

const A = '10.5.2.0/24 192.0.2.2';
const B = '10.5.3.0/24 192.0.2.3';
const C = '10.5.4.0/24 192.0.2.4';

function state(routes: readonly string[], mtu = 1472): DatapathState {
  return {
    engine: 'native',
    config: {
      tunName: 'corduroy0',
      mtu,
      listen: { address: Ip.parse('10.0.0.5'), port: 8285 },
      icmpSources: [Ip.parse('10.5.1.0')],
      strictSource: true,
      offload: true,
      ecn: false,
      queues: 1,
    },
    local: [Prefix.parse('10.5.1.0/24')],
    routes: routes.map((text) => {
      const [prefix = '', address = ''] = text.split(' ');
      return { prefix: Prefix.parse(prefix), peer: { address: Ip.parse(address), port: 8285 } };
    }),
  };
}

const shown = (...routes: readonly string[]) => routes.map((route) => `${route}:8285`);

/** One host: an engine at the most, and a new daemon's keeper for it. */
class Machine {
  engine: FakeEngine | undefined;
  launches = 0;
  readonly keeper = new DatapathKeeper({
    connect: async () => {
      if (this.engine?.alive !== true)
        throw new CorduroyError('datapath', 'no data plane answers', { retryable: true });
      return this.engine.connect();
    },
    launch: async () => {
      this.engine = new FakeEngine(100 + ++this.launches);
    },
    build: '1.0.0',
    onGone: () => undefined,
    now: () => 0,
    log: new RecordedLog(),
  });

  /** What was sent to the engine, in turn. */
  get sent(): string[] {
    return this.engine?.calls.filter((call) => /replace|update/.test(call)) ?? [];
  }

  /** An engine of the daemon before, with its configuration, and with its table where there are routes. */
  static async withEngine(...routes: readonly string[]): Promise<Machine> {
    const machine = new Machine();
    machine.engine = new FakeEngine(7);
    machine.engine.config = state([]).config;
    if (routes.length > 0)
      await machine.engine.connect().replaceRoutes({ ...state(routes), generation: 41n });
    machine.engine.calls.length = 0;
    return machine;
  }
}

describe('the routes are from before this daemon started', () => {
  test('an engine that holds a table keeps it, however often it is looked at', async () => {
    const machine = await Machine.withEngine(A, B);
    for (let round = 0; round < 3; round++) await machine.keeper.ensure(state([A, C]), true);
    expect([machine.engine?.routes, machine.engine?.generation, machine.sent]).toEqual([
      shown(A, B),
      41n,
      [],
    ]);
    expect([machine.keeper.isRunning, machine.launches]).toEqual([true, 0]);
  });

  test('etcd is back: it is sent the whole table, as a newer one', async () => {
    const machine = await Machine.withEngine(A, B);
    await machine.keeper.ensure(state([A, C]), true);
    await machine.keeper.ensure(state([B]), false);
    expect([machine.engine?.routes, machine.sent]).toEqual([shown(B), ['replace 1']]);
    expect([machine.engine?.local, machine.engine?.generation]).toEqual(['10.5.1.0/24', 42n]);
    // And from then on differences.
    await machine.keeper.ensure(state([B, C]));
    expect(machine.sent).toEqual(['replace 1', 'update +1 -0']);
  });

  test('etcd is back and says what was remembered: the whole table all the same', async () => {
    const machine = await Machine.withEngine(A, B);
    const remembered = state([A, C]);
    await machine.keeper.ensure(remembered, true);
    await machine.keeper.ensure(remembered, false);
    expect([machine.engine?.routes, machine.sent]).toEqual([shown(A, C), ['replace 2']]);
  });

  test.each<[string, () => Promise<Machine>]>([
    ['none runs', async () => new Machine()],
    ['one runs that was configured and never got a table', () => Machine.withEngine()],
  ])('%s: the remembered table is sent, once', async (_what, create) => {
    const machine = await create();
    for (let round = 0; round < 3; round++) await machine.keeper.ensure(state([A, C]), true);
    expect([machine.engine?.routes, machine.sent]).toEqual([shown(A, C), ['replace 2']]);
  });

  test('one with another configuration is replaced: the new one gets the remembered table', async () => {
    const machine = await Machine.withEngine(A, B);
    const old = machine.engine;
    await machine.keeper.ensure(state([A, C], 1400), true);
    expect([old?.alive, machine.launches, machine.engine?.routes]).toEqual([false, 1, shown(A, C)]);
  });

  test('the engine that kept its table ends: the next one gets the remembered one', async () => {
    const machine = await Machine.withEngine(A, B);
    await machine.keeper.ensure(state([A, C]), true);
    const old = machine.engine;
    old?.end();
    await old?.ended;
    await Promise.resolve();
    await machine.keeper.ensure(state([A, C]), true);
    expect([machine.launches, machine.engine?.routes]).toEqual([1, shown(A, C)]);
  });

  test('an engine that cannot be asked: an error, and its table is not touched', async () => {
    const machine = await Machine.withEngine(A, B);
    if (machine.engine !== undefined) machine.engine.refuses = 'stats';
    await expect(machine.keeper.ensure(state([A, C]), true)).rejects.toMatchObject({ code: 'datapath' });
    expect([machine.engine?.routes, machine.sent, machine.keeper.isRunning]).toEqual([
      shown(A, B),
      [],
      false,
    ]);
  });

  test('a daemon that knows etcd sends the whole table at once', async () => {
    const machine = await Machine.withEngine(A, B);
    await machine.keeper.ensure(state([A, C]), false);
    expect(machine.engine?.routes).toEqual(shown(A, C));
  });
});
