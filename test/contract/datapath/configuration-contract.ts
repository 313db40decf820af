import { readFileSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { EngineConfig } from '../../../src/datapath/datapath.ts';
import { messageOf } from '../../../src/errors.ts';
import { Ip } from '../../../src/net/ip.ts';
import { CONFIG, type EngineLab, MTU, PORT, TABLE } from './engine-lab.ts';

/** From idle to configured, by one daemon or by its successor. */
export function describeConfiguration(lab: () => EngineLab): void {
  test('is idle at first, and says who it is', async () => {
    const { hello } = await lab().connect();
    expect(hello).toEqual({
      engine: lab().harness.engine,
      build: expect.any(String),
      pid: lab().pid,
      config: undefined,
    });
  });

  test('takes one configuration, takes it again, and refuses another', async () => {
    const datapath = await lab().connect();
    await datapath.configure(CONFIG);
    await datapath.configure(CONFIG);
    await expect(datapath.configure({ ...CONFIG, mtu: MTU - 1 })).rejects.toMatchObject({
      code: 'datapath',
      message: expect.stringMatching(/refused configure: .*MTU 1400.*MTU 1399.*shut it down/),
    });
  });

  test.each<[string, Partial<EngineConfig>]>([
    ['strictSource', { strictSource: false }],
    ['offload', { offload: false }],
    ['ecn', { ecn: true }],
  ])('another %s is another configuration, and refused', async (_what, change) => {
    const datapath = await lab().connect();
    await datapath.configure(CONFIG);
    await expect(datapath.configure({ ...CONFIG, ...change })).rejects.toThrow(
      /refused configure: .*shut it down/,
    );
    expect((await lab().connect()).hello.config).toEqual(CONFIG);
  });

  test('refuses more queues than it was started with, and stays usable', async () => {
    const datapath = await lab().connect();
    await expect(datapath.configure({ ...CONFIG, queues: 2 })).rejects.toThrow(/refused configure: .*queue/);
    await datapath.configure(CONFIG);
  });

  test('says of each offload it knows of, once, whether it is on, and why not', async () => {
    const { offloads } = await (await lab().connectConfigured()).stats();
    expect(new Set(offloads.map(({ offload }) => offload)).size).toBe(offloads.length);
    for (const { state, reason } of offloads) expect(reason === '').toBe(state === 'on');
  });

  test('without offload none is on; one that was started for it says so', async () => {
    const datapath = await lab().connect();
    const configured = datapath.configure({ ...CONFIG, offload: false });
    const refusal = await configured.then(() => undefined, messageOf);
    if (refusal !== undefined) return expect(refusal).toMatch(/--vnet-hdr, for offload: start another/);
    const { offloads } = await datapath.stats();
    return expect(offloads.filter(({ state }) => state !== 'off')).toEqual([]);
  });

  test('refuses another device than it was started with, and stays usable', async () => {
    const datapath = await lab().connect();
    await expect(datapath.configure({ ...CONFIG, tunName: 'other0' })).rejects.toThrow(/cdyt0, not other0/);
    await datapath.configure(CONFIG);
  });

  test('refuses an address that is not there, naming it, and stays usable', async () => {
    const datapath = await lab().connect();
    const listen = { address: Ip.parse('192.0.2.1'), port: PORT };
    await expect(datapath.configure({ ...CONFIG, listen })).rejects.toThrow(/192\.0\.2\.1:8285/);
    await datapath.configure(CONFIG);
  });

  test('refuses routes before it is configured', async () => {
    const datapath = await lab().connect();
    await expect(datapath.replaceRoutes(TABLE)).rejects.toThrow(/configure it first/);
  });

  test('is adopted by a second daemon as it is, when the first is gone', async () => {
    const first = await lab().connectConfigured();
    first.close();
    await first.closed;

    const second = await lab().connect();
    expect(second.hello).toEqual({ ...first.hello, config: CONFIG });
    expect(await second.stats()).toMatchObject({
      generation: TABLE.generation,
      routes: TABLE.routes.length,
    });
    await second.replaceRoutes({ ...TABLE, generation: 1n });
    expect((await second.stats()).generation).toBe(1n);
  });

  test('has no rights left when it is configured', async () => {
    await lab().connectConfigured();
    const status = readFileSync(`/proc/${lab().pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:(\t[1-9]\d*){4}$/m);
    expect(status).toMatch(/^Gid:(\t[1-9]\d*){4}$/m);
    expect(status).toMatch(/^Groups:\s*$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\t0+$`, 'm'));
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  test('its socket is for root alone', async () => {
    await lab().connect();
    expect(statSync(lab().socketPath).mode & 0o777).toBe(0o600);
  });
}
