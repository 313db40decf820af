import { describe, expect, test } from 'vitest';
import { FORCED_MARK, forcedConfigKey } from '../../../src/lease/forced-config.ts';
import { Ip } from '../../../src/net/ip.ts';
import { CONFIG_KEY, PREFIX } from '../lease/fixtures.ts';
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

describe('the network config takes the subnet of this host away', () => {
  const OTHER = '{"Network": "10.6.0.0/16"}';
  /** Of 10.6.1.0 to 10.6.4.0: four subnets. */
  const FULL = '{"Network": "10.6.0.0/16", "SubnetMax": "10.6.4.0"}';
  const leases = async ({ store }: LoneHost) =>
    (await store.list(`${PREFIX}/subnets/`)).entries.map(({ key }) => key.slice(PREFIX.length + 9));

  /** As corduroy config set --force writes it. */
  async function force({ store }: LoneHost, config: string): Promise<void> {
    await store.transaction(
      [],
      [
        { do: 'put', key: forcedConfigKey(PREFIX), value: FORCED_MARK },
        { do: 'put', key: CONFIG_KEY, value: config },
      ],
    );
  }

  test('it goes on with the one before, and says which command changes that; that command does', async () => {
    const [host, one] = await running();
    await host.put(CONFIG_KEY, OTHER);
    await until(() => problemsOf(one).includes('does not fit it'));
    expect(problemsOf(one)).toMatch(
      /this host's subnet 10\.5\.1\.0\/24 does not fit it\. .*config get \| corduroy config set --force -$/,
    );
    expect([networks(host), one.subnet]).toEqual([['10.5.0.0/16'], '10.5.1.0/24']);
    // A mark that did not come with the config means nothing: hosts may write it.
    await host.put(forcedConfigKey(PREFIX), FORCED_MARK);
    await host.lease('10.5.3.0-24', '192.0.2.3');
    await until(() => host.engine?.routes.length === 2);
    expect(one.subnet).toBe('10.5.1.0/24');
    await force(host, OTHER);
    await until(() => one.subnet === '10.6.1.0/24' && networks(host).length === 2);
  });

  test('a mark says nothing of what is written after it, though it be the same text again', async () => {
    const [host, one] = await running();
    await force(host, NARROW);
    await host.put(CONFIG_KEY, OTHER);
    await until(() => problemsOf(one).includes('does not fit it'));
    await force(host, NARROW);
    await until(() => problemsOf(one) === '');
    expect(one.subnet).toBe('10.5.1.0/24');
  });

  describe('and a daemon starts', () => {
    /** One that has gone on with the config before has ended, and has heard of other hosts meanwhile. */
    async function restarted(config: string, meanwhile: (host: LoneHost) => Promise<void> = async () => {}) {
      const [host, one] = await running();
      await host.put(CONFIG_KEY, config);
      await until(() => problemsOf(one).includes('Going on with the one before'));
      await host.lease('10.5.3.0-24', '192.0.2.3');
      await until(() => host.engine?.routes.length === 2);
      await one.stop();
      await meanwhile(host);
      host.reboot();
      return [host, host.start()] as const;
    }

    test.each([
      ['takes the subnet away', OTHER, 'does not fit it'],
      ['contains the address of this host', WIDE, 'lies inside the new Network'],
      ['is invalid', '{"Network": 7}', 'is not valid'],
    ])('one that %s: it goes on with the one before, too', async (_what, config, problem) => {
      const [host, next] = await restarted(config);
      await until(() => next.isHeld && host.engine?.routes.length === 2);
      expect(problemsOf(next)).toContain(problem);
      expect([networks(host), next.subnet]).toEqual([['10.5.0.0/16'], '10.5.1.0/24']);
      expect(await leases(host)).toContain('10.5.1.0-24');
    });

    test('without etcd at first: the same', async () => {
      const [host, next] = await restarted(OTHER, async ({ store }) => store.setAvailable(false));
      await until(() => next.daemon.ready);
      host.store.setAvailable(true);
      await until(() => problemsOf(next).includes('does not fit it') && next.isHeld);
      expect([networks(host), next.subnet]).toEqual([['10.5.0.0/16'], '10.5.1.0/24']);
    });

    test('and by force meanwhile: it leases one that fits', async () => {
      const [host, next] = await restarted(OTHER, (host) => force(host, OTHER));
      await until(() => next.isHeld);
      expect([networks(host), next.subnet]).toEqual([['10.6.0.0/16'], '10.6.1.0/24']);
    });

    test('and its lease has expired: it comes anew, by what stands there', async () => {
      const [host, next] = await restarted(OTHER, async (host) => {
        const { store } = host;
        for (const id of await store.living()) await store.revokeLease(id);
      });
      await until(() => next.isHeld);
      expect([networks(host), next.subnet]).toEqual([['10.6.0.0/16'], '10.6.1.0/24']);
    });
  });

  test('by force: the new subnet is leased first, the old key goes with it, and then the host follows', async () => {
    const [host, one] = await running();
    const held: string[][] = [];
    host.store.afterTransaction = async () => {
      held.push((await leases(host)).filter((name) => name !== '10.5.2.0-24'));
    };
    await force(host, OTHER);
    await until(() => networks(host).includes('10.6.0.0/16') && one.isHeld);
    // Never the one network with the other's subnet.
    const pairs = host.wishes.map((wish) => [...wish.networks, ...wish.subnets].join(' '));
    expect([...new Set(pairs)]).toEqual(['10.5.0.0/16 10.5.1.0/24', '10.6.0.0/16 10.6.1.0/24']);
    expect([...new Set(held.map((names) => names.join(' ')))]).toEqual(['10.5.1.0-24', '10.6.1.0-24']);
    expect(problemsOf(one)).toMatch(
      /has changed from 10\.5\.1\.0\/24, .* to 10\.6\.1\.0\/24: restart its containers/,
    );
  });

  test('by force, and there is no subnet for it: it goes on as before, also for new peers, until there is', async () => {
    const [host, one] = await running();
    for (const third of [1, 2, 3, 4]) await host.lease(`10.6.${third}.0-24`, `192.0.2.${third + 10}`);
    await force(host, FULL);
    await until(() => problemsOf(one).includes('out of subnets'));
    await host.lease('10.5.3.0-24', '192.0.2.3');
    await until(() => host.engine?.routes.length === 2);
    expect([networks(host), one.subnet, await leases(host)]).toEqual([
      ['10.5.0.0/16'],
      '10.5.1.0/24',
      expect.arrayContaining(['10.5.1.0-24']),
    ]);
    await host.delete('10.6.4.0-24');
    host.ahead += 11_000;
    one.daemon.hint('host');
    await until(() => networks(host).includes('10.6.0.0/16') && one.isHeld);
    expect(one.subnet).toBe('10.6.4.0/24');
  });

  test('a larger network is taken up at once, with another SubnetMin', async () => {
    const [host, one] = await running();
    await host.put(CONFIG_KEY, '{"Network": "10.4.0.0/15", "SubnetMin": "10.4.128.0"}');
    await until(() => problemsOf(one).includes('lies inside the new Network'));
    await host.put(CONFIG_KEY, '{"Network": "10.5.0.0/16", "SubnetMin": "10.5.0.0"}');
    await until(() => problemsOf(one) === '' && one.isHeld);
    expect([host.subnetsInTurn, host.launches]).toEqual([['10.5.1.0/24'], 1]);
  });

  test('a family more: the key of both takes the place of the old one, once the host has an address of it', async () => {
    const [host, one] = await running();
    await host.put(CONFIG_KEY, '{"Network": "10.5.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00::/48"}');
    one.daemon.hint('host');
    await host.lease('10.5.3.0-24', '192.0.2.3');
    await until(() => host.engine?.routes.length === 2);
    expect(one.subnet).toBe('10.5.1.0/24');
    const v6 = { address: Ip.parse('2001:db8::1'), publicIp: Ip.parse('2001:db8::1') };
    host.iface = { ...interfaceAt(HERE), v6 };
    one.daemon.hint('interface');
    await until(() => one.subnet === '10.5.1.0/24 fd00:0:0:1::/64' && one.isHeld);
    await until(() => networks(host).length === 2);
    expect(networks(host)).toEqual(['10.5.0.0/16', '10.5.0.0/16,fd00::/48']);
    expect((await leases(host)).filter((name) => name.startsWith('10.5.1.'))).toEqual([
      '10.5.1.0-24&fd00:0:0:1::-64',
    ]);
    const lease = await host.store.get(`${PREFIX}/subnets/10.5.1.0-24&fd00:0:0:1::-64`);
    expect(JSON.parse(lease?.value ?? '')).toEqual({ PublicIP: HERE, PublicIPv6: '2001:db8::1' });
    expect(one.daemon.leases.moved).toBeUndefined();
  });
});
