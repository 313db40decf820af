import { describe, expect, test } from 'vitest';
import { Ip } from '../../../src/net/ip.ts';
import { CONFIG_KEY } from '../lease/fixtures.ts';
import { interfaceAt, LoneHost, type Running, until } from './lone-host.ts';

const HERE = '10.4.0.1';
const NARROW = '{"Network": "10.5.0.0/16"}';
/** Contains the address of this host, and its subnet. */
const WIDE = '{"Network": "10.4.0.0/14"}';

const networks = ({ wishes }: LoneHost) => [...new Set(wishes.map((wish) => wish.networks.join()))];
const problemsOf = ({ daemon }: Running) => daemon.problems.join('; ');

async function running(): Promise<[LoneHost, Running]> {
  const host = await LoneHost.create();
  host.iface = interfaceAt(HERE);
  await host.lease('10.5.2.0-24', '192.0.2.2');
  const one = host.start();
  await until(() => one.isHeld && host.engine?.routes.length === 1);
  return [host, one];
}

describe('the network config is widened, and contains the address of this host', () => {
  test('it goes on with the one before, says so, and nothing is ever set up for the new one', async () => {
    const [host, one] = await running();
    await host.put(CONFIG_KEY, WIDE);
    await until(() => problemsOf(one).includes('lies inside the new Network'));
    expect(problemsOf(one)).toMatch(
      /this host's address 10\.4\.0\.1 .*Going on with the one before; .*config set/,
    );
    one.daemon.hint('host');
    one.daemon.hint('interface');
    // Also for peers that come meanwhile.
    await host.lease('10.5.3.0-24', '192.0.2.3');
    await until(() => host.engine?.routes.length === 2);
    expect([networks(host), one.subnet, host.launches]).toEqual([['10.5.0.0/16'], '10.5.1.0/24', 1]);
    expect(one.daemon.ready).toBe(true);

    await host.put(CONFIG_KEY, NARROW);
    await until(() => problemsOf(one) === '');
    expect(networks(host)).toEqual(['10.5.0.0/16']);
  });

  test('or the address that it publishes', async () => {
    const [host, one] = await running();
    host.iface = {
      ...interfaceAt('192.0.2.1'),
      v4: { address: Ip.parse('192.0.2.1'), publicIp: Ip.parse(HERE) },
    };
    one.daemon.hint('interface');
    await until(async () => one.daemon.interfaces.chosen === host.iface && one.isHeld);
    await host.put(CONFIG_KEY, WIDE);
    await until(() => problemsOf(one).includes('lies inside the new Network'));
    expect(networks(host)).toEqual(['10.5.0.0/16']);
  });

  test('and does not contain the new address of this host: taken', async () => {
    const [host, one] = await running();
    await host.put(CONFIG_KEY, WIDE);
    await until(() => problemsOf(one).includes('lies inside the new Network'));
    host.iface = interfaceAt('192.0.2.1');
    one.daemon.hint('interface');
    await until(() => networks(host).includes('10.4.0.0/14') && problemsOf(one) === '');
    expect(one.subnet).toBe('10.5.1.0/24');
  });
});

describe('the first start, with the address inside the network', () => {
  async function expectNothing(host: LoneHost, one: Running): Promise<void> {
    await until(() => problemsOf(one).includes('lies inside the network'));
    one.daemon.hint('interface');
    one.daemon.hint('host');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(problemsOf(one)).toMatch(
      /10\.4\.0\.1 lies inside the network 10\.4\.0\.0\/14: choose another --iface/,
    );
    expect([host.wishes, host.engine, one.daemon.ready]).toEqual([[], undefined, false]);
    expect((await host.store.list('/net/subnets/')).entries).toEqual([]);
    expect(host.store.granted).toEqual([]);
  }

  async function widened(): Promise<LoneHost> {
    const host = await LoneHost.create();
    host.iface = interfaceAt(HERE);
    await host.put(CONFIG_KEY, WIDE);
    return host;
  }

  test('refused, and nothing is set up or leased', async () => {
    const host = await widened();
    await expectNothing(host, host.start());
  });

  test('etcd is away at first, and nothing is remembered: the same when it comes', async () => {
    const host = await widened();
    host.store.setAvailable(false);
    const one = host.start();
    // The interface was chosen before a network was known.
    await until(() => one.daemon.interfaces.chosen !== undefined);
    host.store.setAvailable(true);
    await expectNothing(host, one);
  });

  test('and the config is mended: it starts', async () => {
    const host = await widened();
    const one = host.start();
    await expectNothing(host, one);
    await host.put(CONFIG_KEY, NARROW);
    await until(() => one.isHeld);
    expect([networks(host), problemsOf(one)]).toEqual([['10.5.0.0/16'], '']);
  });
});
