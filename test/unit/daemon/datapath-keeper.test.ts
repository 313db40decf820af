import { describe, expect, test } from 'vitest';
import type { DatapathState } from '../../../src/backend/backend.ts';
import { DatapathKeeper } from '../../../src/daemon/datapath-keeper.ts';
import type { EngineConfig, Route } from '../../../src/datapath/datapath.ts';
import { CorduroyError } from '../../../src/errors.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { RecordedLog } from '../lease/recorded-log.ts';
import { FakeEngine } from './fake-engine.ts';

const routeOf = (text: string): Route => {
  const [prefix = '', address = ''] = text.split(' ');
  return { prefix: Prefix.parse(prefix), peer: { address: Ip.parse(address), port: 8285 } };
};
const A = '10.5.2.0/24 192.0.2.2';
const B = '10.5.3.0/24 192.0.2.3';
const B_MOVED = '10.5.3.0/24 192.0.2.33';

interface StateChanges {
  readonly mtu?: number;
  readonly local?: string;
  readonly queues?: number;
}

function state(routes: readonly string[], over: StateChanges = {}): DatapathState {
  const { mtu = 1472, local = '10.5.1.0/24', queues = 1 } = over;
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
      queues,
    },
    local: [Prefix.parse(local)],
    routes: routes.map(routeOf),
  };
}

const shown = (routes: readonly string[]) => routes.map((route) => `${route}:8285`).sort();

/** A host with at most one engine, and a keeper for it. */
function host(running?: FakeEngine) {
  const log = new RecordedLog();
  const machine = {
    engine: running,
    launches: 0,
    launched: '',
    /** The first call of this name to an engine that is launched is refused. */
    refuses: undefined as string | undefined,
    gone: 0,
    keeper: undefined as unknown as DatapathKeeper,
    log,
  };
  machine.keeper = new DatapathKeeper({
    connect: async () => {
      if (machine.engine === undefined)
        throw new CorduroyError('datapath', 'no data plane answers', { retryable: true });
      return machine.engine.connect();
    },
    launch: async ({ engine, config }) => {
      machine.engine = new FakeEngine(100 + ++machine.launches);
      machine.engine.kind = engine;
      machine.engine.refuses = machine.refuses;
      machine.launched = `${engine} for ${config.tunName}, queues: ${config.queues}`;
    },
    build: '1.0.0',
    onGone: () => machine.gone++,
    now: () => now,
    log,
  });
  return Object.assign(machine, {
    /** No engine is there any more. */
    lose: () => {
      machine.engine = undefined;
    },
  });
}

async function started(routes: readonly string[] = [A]) {
  const machine = host();
  await machine.keeper.ensure(state(routes));
  const { engine } = machine;
  if (engine === undefined) throw new Error('no engine was started');
  engine.calls.length = 0;
  return { ...machine, machine, engine };
}

/** Far enough from the last launch that nothing is paced, unless a test sets it. */
let now = 0;

describe('DatapathKeeper', () => {
  test('none runs: starts one, configures it, and sends the table', async () => {
    const machine = host();
    await machine.keeper.ensure(state([A, B]));
    expect(machine.launches).toBe(1);
    expect(machine.engine).toMatchObject({ config: state([]).config, local: '10.5.1.0/24', connections: 1 });
    expect(machine.engine?.routes).toEqual(shown([A, B]));
    expect(machine.keeper.engine?.hello.config).toEqual(state([]).config);
  });

  test('one runs with the same configuration: adopted, and sent the whole table once', async () => {
    const { engine } = await started([A, B]);
    const machine = host(engine);
    await machine.keeper.ensure(state([B]));
    expect([machine.launches, engine.calls]).toEqual([0, ['replace 1']]);
    expect(engine.routes).toEqual(shown([B]));
    expect(machine.log.lines).toEqual([expect.stringMatching(/^info: adopted .*pid 101/)]);
  });

  test('one runs idle that this daemon did not start, perhaps with other flags: replaced', async () => {
    const idle = new FakeEngine(7);
    const machine = host(idle);
    await machine.keeper.ensure(state([A]));
    expect([idle.alive, machine.launches, machine.engine?.routes]).toEqual([false, 1, shown([A])]);
  });

  test('one that was started could not be configured: configured later, and not started again', async () => {
    const machine = host();
    machine.refuses = 'configure';
    await expect(machine.keeper.ensure(state([A]))).rejects.toThrow(/configure was refused/);
    await machine.keeper.ensure(state([A]));
    expect([machine.launches, machine.engine?.calls, machine.engine?.connections]).toEqual([
      1,
      ['configure', 'configure', 'replace 1'],
      1,
    ]);
  });

  test('one runs with another configuration: ended, and another started', async () => {
    const old = new FakeEngine(7);
    old.config = state([], { mtu: 1400 }).config;
    const machine = host(old);
    await machine.keeper.ensure(state([A]));
    expect([old.alive, machine.launches, machine.gone]).toEqual([false, 1, 0]);
    expect(machine.engine?.config?.mtu).toBe(1472);
  });

  test.each([true, false])(
    'one of another kind runs (configured: %s): said, ended, and one of the right kind started',
    async (configured) => {
      const old = new FakeEngine(7);
      old.kind = 'dgram';
      if (configured) old.config = state([]).config;
      const machine = host(old);
      await machine.keeper.ensure(state([A], { queues: 4 }));
      expect([old.alive, machine.launched]).toEqual([false, 'native for corduroy0, queues: 4']);
      expect(machine.log.lines[0]).toMatch(/pid 7\) is dgram, and native is wanted: replacing it$/);
    },
  );

  test('one that is started and is not what was asked for: an error, and no other in its place at every look', async () => {
    let launches = 0;
    const engine = new FakeEngine(7);
    engine.kind = 'dgram';
    const keeper = new DatapathKeeper({
      connect: async () => {
        if (launches === 0) throw new CorduroyError('datapath', 'nobody there', { retryable: true });
        return engine.connect();
      },
      launch: async () => launches++,
      build: '1.0.0',
      onGone: () => undefined,
      log: new RecordedLog(),
      now: () => now,
    });
    await expect(keeper.ensure(state([A]))).rejects.toThrow(/dgram 1\.0\.0\) that was started for native/);
    expect([launches, engine.connections, keeper.engine]).toEqual([1, 0, undefined]);
  });

  test('one of another build runs: adopted, with a word about how to replace it', async () => {
    const old = new FakeEngine(7);
    old.build = '0.1.0';
    old.config = state([]).config;
    const machine = host(old);
    await machine.keeper.ensure(state([A]));
    expect([old.alive, machine.launches]).toEqual([true, 0]);
    expect(machine.log.lines).toEqual([
      expect.stringMatching(
        /adopted .* version 0\.1\.0, and 1\.0\.0 is installed: corduroy datapath restart/,
      ),
    ]);
  });

  test('one ends while it is asked to, for its device was taken away: another is started at once', async () => {
    const old = new FakeEngine(7);
    old.config = state([], { mtu: 1400 }).config;
    old.refuses = 'shutdown';
    const machine = host(old);
    const ensured = machine.keeper.ensure(state([A]));
    old.end();
    await ensured;
    expect(machine.launches).toBe(1);
  });

  test.each<[string, Partial<EngineConfig>]>([
    ['strictSource', { strictSource: false }],
    ['offload', { offload: false }],
    ['ecn', { ecn: true }],
    ['queues', { queues: 2 }],
  ])('another %s is another configuration', async (_what, change) => {
    const { machine, engine } = await started();
    const wanted = state([A]);
    await machine.keeper.ensure({ ...wanted, config: { ...wanted.config, ...change } });
    expect([engine.alive, machine.engine?.config]).toEqual([false, expect.objectContaining(change)]);
  });

  test('the configuration changes: the same, and its end is no accident', async () => {
    const { machine, engine } = await started();
    await machine.keeper.ensure(state([A], { mtu: 1400 }));
    expect([engine.alive, machine.launches, machine.gone]).toEqual([false, 2, 0]);
    expect(machine.log.loud).toEqual([]);
    expect(machine.engine?.routes).toEqual(shown([A]));
  });

  test('after the first table only differences are sent, and nothing when there are none', async () => {
    const { keeper, engine } = await started([A]);
    await keeper.ensure(state([A]));
    expect(engine.calls).toEqual([]);
    await keeper.ensure(state([A, B]));
    await keeper.ensure(state([B_MOVED]));
    expect(engine.calls).toEqual(['update +1 -0', 'update +1 -1']);
    expect(engine.routes).toEqual(shown([B_MOVED]));
  });

  test("this host's subnet changes: the whole table, for it holds the subnet as well", async () => {
    const { keeper, engine } = await started([A]);
    await keeper.ensure(state([A], { local: '10.5.4.0/24' }));
    expect([engine.calls, engine.local]).toEqual([['replace 1'], '10.5.4.0/24']);
  });

  test.each(['update', 'replace'])('%s is refused: an error, then the whole table', async (call) => {
    const { keeper, engine } = await started([A]);
    engine.refuses = call;
    const wanted = state([A, B], call === 'replace' ? { local: '10.5.4.0/24' } : {});
    await expect(keeper.ensure(wanted)).rejects.toMatchObject({ code: 'datapath' });
    engine.calls.length = 0;
    await keeper.ensure(wanted);
    expect(engine.calls).toEqual(['replace 2']);
    expect(engine.routes).toEqual(shown([A, B]));
  });

  test('somebody else changes the table: found with the next difference, mended with the one after', async () => {
    const { keeper, engine } = await started([A]);
    await engine.connect().replaceRoutes({ generation: 1000n, local: [], routes: [] });
    await expect(keeper.ensure(state([A, B]))).rejects.toMatchObject({ code: 'datapath' });
    await keeper.ensure(state([A, B]));
    expect([engine.routes, engine.generation]).toEqual([shown([A, B]), 1001n]);
  });

  test('it goes: said aloud, and another is started with the whole table', async () => {
    const { machine, engine } = await started([A, B]);
    engine.end();
    machine.lose();
    await engine.ended;
    await Promise.resolve();
    expect(machine.gone).toBe(1);
    expect(machine.keeper.engine).toBeUndefined();
    expect(machine.log.loud).toEqual([expect.stringMatching(/^error: the data plane \(pid 101\) has gone/)]);
    await machine.keeper.ensure(state([A, B]));
    expect([machine.launches, machine.engine?.routes]).toEqual([2, shown([A, B])]);
  });

  test('one that answers wrongly is neither adopted nor replaced behind its back', async () => {
    let launches = 0;
    const keeper = new DatapathKeeper({
      connect: async () => {
        throw new CorduroyError('datapath', 'the data plane speaks version 2');
      },
      launch: async () => launches++,
      build: '1.0.0',
      onGone: () => undefined,
      log: new RecordedLog(),
      now: () => now,
    });
    await expect(keeper.ensure(state([A]))).rejects.toThrow('speaks version 2');
    expect(launches).toBe(0);
  });

  test('one that keeps ending right after its start is started less and less often', async () => {
    now = 0;
    const times: number[] = [];
    const keeper = new DatapathKeeper({
      connect: async () => {
        throw new CorduroyError('datapath', 'no data plane answers', { retryable: true });
      },
      launch: async () => times.push(now),
      build: '1.0.0',
      onGone: () => undefined,
      log: new RecordedLog(),
      now: () => now,
    });
    for (; now < 60_000; now += 100) await keeper.ensure(state([A])).catch(() => undefined);
    expect(times.slice(0, 5)).toEqual([0, 100, 1100, 3100, 7100]);
    expect(times.at(-1)).toBeGreaterThan(40_000);
  });

  test('one that has lived for a while is replaced at once, however often', async () => {
    const { machine } = await started([A]);
    const before = machine.launches;
    for (let again = 0; again < 6; again++) {
      now += 600;
      const old = machine.engine;
      old?.end();
      await old?.ended;
      await Promise.resolve();
      await machine.keeper.ensure(state([A]));
    }
    expect(machine.launches - before).toBe(6);
  });

  test('let go: it goes on forwarding, and nobody is alarmed', async () => {
    const { machine, engine } = await started([A]);
    machine.keeper.release();
    expect([engine.alive, engine.connections, engine.routes]).toEqual([true, 0, shown([A])]);
    engine.end();
    await engine.ended;
    await Promise.resolve();
    expect([machine.gone, machine.log.loud]).toEqual([0, []]);
  });

  test.each(['configure', 'shutdown'])(
    '%s is refused again and again: no connection is left open',
    async (call) => {
      const machine = host();
      const { keeper } = machine;
      await keeper.ensure(state([A]));
      const { engine } = machine;
      if (engine === undefined) throw new Error('no engine was started');
      engine.config = call === 'shutdown' ? state([], { mtu: 1400 }).config : undefined;
      keeper.release();
      for (let round = 0; round < 3; round++) {
        engine.refuses = call;
        await expect(keeper.ensure(state([A]))).rejects.toMatchObject({ code: 'datapath' });
      }
      expect(engine.connections).toBeLessThanOrEqual(1);
      await keeper.ensure(state([A]));
    },
  );

  test('none is wanted any more: ended, and not taken for one that was lost', async () => {
    const { machine, engine, keeper } = await started();
    await keeper.end();
    expect([engine.alive, keeper.isRunning, machine.gone, machine.log.loud]).toEqual([false, false, 0, []]);
    await keeper.end();
    machine.lose();
    await keeper.ensure(state([B]));
    expect([machine.launches, keeper.isRunning]).toEqual([2, true]);
  });

  test('none is wanted, and one of an earlier daemon runs: ended', async () => {
    const { engine } = await started();
    const machine = host(engine);
    await machine.keeper.end();
    expect([engine.alive, machine.launches]).toEqual([false, 0]);
    const none = host();
    await none.keeper.end();
    expect(none.log.lines).toEqual([]);
  });

  test('it cannot be started: the error reaches the caller, and the next try may succeed', async () => {
    const engines: FakeEngine[] = [];
    let fails = true;
    const keeper = new DatapathKeeper({
      connect: async () => {
        const [engine] = engines;
        if (engine === undefined)
          throw new CorduroyError('datapath', 'no data plane answers', { retryable: true });
        return engine.connect();
      },
      launch: async () => {
        if (fails) throw new CorduroyError('datapath', 'no such program');
        engines.push(new FakeEngine(1));
      },
      build: '1.0.0',
      onGone: () => undefined,
      now: () => now,
      log: new RecordedLog(),
    });
    await expect(keeper.ensure(state([A]))).rejects.toThrow('no such program');
    await expect(keeper.ensure(state([A]))).rejects.toThrow('no such program');
    // Paced now, and still with the reason.
    await expect(keeper.ensure(state([A]))).rejects.toThrow(/2 times: no such program/);
    fails = false;
    now += 1000;
    await keeper.ensure(state([A]));
    expect(engines.map(({ routes }) => routes)).toEqual([shown([A])]);
  });
});
