import { expect, test, vi } from 'vitest';
import type { Backend, BackendDesign, BackendInput } from '../../../src/backend/backend.ts';
import { BackendKeeper, type OpenContext } from '../../../src/daemon/backend-keeper.ts';
import type { UsableConfig } from '../../../src/daemon/network-view.ts';
import { CorduroyError } from '../../../src/errors.ts';
import { formatRoute } from '../../../src/host/state.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { Secret } from '../../../src/secret.ts';
import { DUAL, DUAL_IFACE, inputWith } from '../backend/fixtures.ts';
import { RecordedLog } from '../lease/recorded-log.ts';

/** A backend with a device of its name, a route by it to each peer, and data in the lease that it wants of its peers. */
function backendOf(type: string, data?: string): Backend {
  return {
    type,
    mtu: 1400,
    attributes: {
      publicIp: undefined,
      publicIpv6: undefined,
      ...(type === 'udp' ? {} : { backendType: type }),
      ...(data && { backendData: data }),
    },
    capabilities: [],
    warnings: [],
    isDirect: () => false,
    objectionTo: ({ attributes }) =>
      type === 'udp' || attributes.backendType === type ? undefined : `not by ${type}`,
    desired: ({ peers }) => ({
      host: {
        links: [{ name: type, kind: 'tun', mtu: 1400, addresses: [] }],
        routes: peers.flatMap(({ subnets }) =>
          subnets.map((prefix) => ({ type: 'unicast', prefix, device: type }) as const),
        ),
        sysctls: [],
      },
    }),
  };
}

const CONTEXT = { iface: DUAL_IFACE } as OpenContext;
const LEASE = { PublicIP: '192.0.2.2', PublicIPv6: null };

function configOf(backend: BackendDesign): UsableConfig {
  return {
    network: { ranges: inputWith({}).ranges, backend: { type: '' } },
    backend,
  } as unknown as UsableConfig;
}

function keeper() {
  const clock = { at: 0 };
  const log = new RecordedLog();
  const started: string[] = [];
  const keys = new Map([['wg', { privateKey: new Secret('x'), publicKey: 'one' }]]);
  const made = new BackendKeeper({
    wireguardKeys: () => keys,
    runStart: async ({ line }) => {
      started.push(line);
      if (line === 'false') throw new CorduroyError('host-command', 'false failed');
      return 'printed';
    },
    now: () => clock.at,
    log,
  });
  return { made, clock, log, started, keys };
}

function routesOf(made: BackendKeeper, backend: Backend, input: BackendInput): string {
  const { host } = made.succeed(backend, input).state;
  return `${host.links.map(({ name }) => name)}: ${host.routes.map(formatRoute)}`;
}

test('the same backend for as long as config, interface and keys are the same', async () => {
  const { made, keys } = keeper();
  const config = configOf({ open: () => backendOf('udp') });
  const first = await made.ensure(config, CONTEXT);
  expect(await made.ensure(config, CONTEXT)).toBe(first);
  expect(await made.ensure(config, { ...CONTEXT, iface: { ...DUAL_IFACE } })).not.toBe(first);
  const second = await made.ensure(config, CONTEXT);
  keys.set('wg', { privateKey: new Secret('y'), publicKey: 'two' });
  expect(await made.ensure(config, CONTEXT)).not.toBe(second);
  expect(made.leaving).toBeUndefined();
});

test('a network with IPv6 needs room for it, and says of what there is too little', async () => {
  const { made } = keeper();
  const open = () => ({ ...backendOf('udp'), mtu: 1272 });
  const iface = { ...DUAL_IFACE, mtu: 1300 };
  const dual = { ...configOf({ open }), network: { ranges: inputWith({}, { over: DUAL }).ranges } };
  await expect(made.ensure(dual as UsableConfig, { ...CONTEXT, iface })).rejects.toThrow(
    /MTU of eth0, 1300, leaves 1272 bytes .* with the udp backend, and IPv6 needs 1280: raise it by 8/,
  );
  await made.ensure(configOf({ open }), { ...CONTEXT, iface });
  expect(made.current?.mtu).toBe(1272);
});

test('what a command prints is known to the backend; it runs once, and again only if it failed', async () => {
  const { made, started } = keeper();
  const needing = (line: string) =>
    configOf({
      needs: { startCommand: { option: 'PreStartupCommand', line, environment: {}, input: '' } },
      open: ({ printed }) => backendOf('extension', printed),
    });
  const config = needing('echo');
  const { attributes } = await made.ensure(config, CONTEXT);
  await made.ensure(config, { ...CONTEXT, iface: { ...DUAL_IFACE } });
  expect([attributes.backendData, started]).toEqual(['printed', ['echo']]);
  const failing = needing('false');
  await expect(made.ensure(failing, CONTEXT)).rejects.toThrow('false failed');
  await expect(made.ensure(failing, CONTEXT)).rejects.toThrow('false failed');
  expect(started).toEqual(['echo', 'false', 'false']);
  expect(made.current?.attributes.backendData).toBe('printed');
});

test('hosts that have not followed a change are reached by the backend before; those that have, by the new one', async () => {
  const { made, clock, log } = keeper();
  const udp = await made.ensure(configOf({ open: () => backendOf('udp') }), CONTEXT);
  const [followed, stays] = ['10.5.2.0-24', '10.5.3.0-24'];
  routesOf(made, udp, inputWith({ [followed]: LEASE, [stays]: LEASE }));
  const vxlan = await made.ensure(configOf({ open: () => backendOf('vxlan') }), CONTEXT);
  const changed = { ...LEASE, BackendType: 'vxlan' };
  expect(routesOf(made, vxlan, inputWith({ [followed]: changed, [stays]: LEASE }))).toBe(
    'vxlan,udp: 10.5.2.0/24 dev vxlan,10.5.3.0/24 dev udp',
  );
  expect(made.leaving).toBe(udp);

  // All have followed: for a moment yet, for those that have not heard of this host.
  const all = inputWith({ [followed]: changed, [stays]: changed });
  expect(routesOf(made, vxlan, all)).toBe('vxlan,udp: 10.5.2.0/24 dev vxlan,10.5.3.0/24 dev vxlan');
  clock.at = made.dueAt;
  expect(routesOf(made, vxlan, all)).toBe('vxlan: 10.5.2.0/24 dev vxlan,10.5.3.0/24 dev vxlan');
  expect(made.leaving).toBeUndefined();
  expect(log.lines.join('\n')).toMatch(
    /changes from udp to vxlan[\s\S]*udp backend is left: every host has followed/,
  );
});

test('the backend before goes on to know hosts by what they said before they followed', async () => {
  const { made } = keeper();
  const vxlan = await made.ensure(configOf({ open: () => backendOf('vxlan') }), CONTEXT);
  const name = '10.5.2.0-24';
  routesOf(made, vxlan, inputWith({ [name]: { ...LEASE, BackendType: 'vxlan' } }));
  const data: string[] = [];
  const wireguard = await made.ensure(configOf({ open: () => backendOf('wireguard') }), CONTEXT);
  const before = made.leaving;
  if (before === undefined) throw new Error('nothing is left');
  const { desired } = before;
  Object.assign(before, {
    desired: (input: BackendInput) => {
      data.push(...input.peers.map(({ attributes }) => String(attributes.backendType)));
      return desired(input);
    },
  });
  routesOf(made, wireguard, inputWith({ [name]: { ...LEASE, BackendType: 'wireguard' } }));
  expect(data).toEqual(['vxlan']);
});

test('a host of the old backend is not sent to by one that takes every lease for its own', async () => {
  const { made } = keeper();
  const vxlan = await made.ensure(configOf({ open: () => backendOf('vxlan') }), CONTEXT);
  const stays = inputWith({ '10.5.2.0-24': { ...LEASE, BackendType: 'vxlan' } });
  routesOf(made, vxlan, stays);
  const network: Backend = {
    ...backendOf('udp'),
    // As udp does: one route for all.
    desired: ({ ranges }) => ({
      host: {
        links: [],
        routes: ranges.map(({ network: prefix }) => ({ type: 'unicast', prefix, device: 'udp' })),
        sysctls: [],
      },
    }),
  };
  const udp = await made.ensure(configOf({ open: () => network }), CONTEXT);
  expect(routesOf(made, udp, stays)).toBe('vxlan: 10.5.0.0/16 dev udp,10.5.2.0/24 dev vxlan');
});

test('where both route the whole network, hosts of the old backend are routed apart', async () => {
  const { made } = keeper();
  const whole = (type: string): Backend => {
    const backend = backendOf(type);
    const desired = (input: BackendInput) => {
      const { host } = backend.desired(input);
      const routes = input.ranges.map(
        ({ network: prefix }) => ({ type: 'unicast', prefix, device: type }) as const,
      );
      return { host: { ...host, routes } };
    };
    return { ...backend, desired };
  };
  const udp = await made.ensure(configOf({ open: () => whole('udp') }), CONTEXT);
  const [followed, stays] = ['10.5.2.0-24', '10.5.3.0-24'];
  routesOf(made, udp, inputWith({ [followed]: LEASE, [stays]: LEASE }));
  const wireguard = await made.ensure(configOf({ open: () => whole('wireguard') }), CONTEXT);
  const input = inputWith({ [followed]: { ...LEASE, BackendType: 'wireguard' }, [stays]: LEASE });
  expect(routesOf(made, wireguard, input)).toBe(
    'wireguard,udp: 10.5.0.0/16 dev wireguard,10.5.3.0/24 dev udp',
  );
});

test('half-way through a change, the cost of a round grows as the number of peers does', async () => {
  const { made } = keeper();
  const vxlan = await made.ensure(configOf({ open: () => backendOf('vxlan') }), CONTEXT);
  const names = Array.from({ length: 200 }, (_, at) => `10.5.${at + 10}.0-24`);
  const leases = (typeOf: (at: number) => string) =>
    inputWith(Object.fromEntries(names.map((name, at) => [name, { ...LEASE, BackendType: typeOf(at) }])));
  made.succeed(
    vxlan,
    leases(() => 'vxlan'),
  );
  const hostGw = await made.ensure(configOf({ open: () => backendOf('host-gw') }), CONTEXT);
  const halfWay = leases((at) => (at % 2 === 0 ? 'vxlan' : 'host-gw'));
  const compared = vi.spyOn(Prefix.prototype, 'covers');
  const { routes } = made.succeed(hostGw, halfWay).state.host;
  expect(compared.mock.calls.length).toBeLessThanOrEqual(names.length);
  compared.mockRestore();
  expect(routes).toHaveLength(names.length);
});

test('who does not follow within a minute is not reached, and is named', async () => {
  const { made, clock, log } = keeper();
  await made.ensure(configOf({ open: () => backendOf('udp') }), CONTEXT);
  const vxlan = await made.ensure(configOf({ open: () => backendOf('vxlan') }), CONTEXT);
  const input = inputWith({ '10.5.3.0-24': LEASE });
  expect(made.succeed(vxlan, input).rejected).toEqual([]);
  clock.at = 60_000;
  expect(made.dueAt).toBe(60_000);
  const { state, rejected } = made.succeed(vxlan, input);
  expect([state.host.links.length, rejected.map(({ reason }) => reason)]).toEqual([1, ['not by vxlan']]);
  expect(log.lines.join('\n')).toContain('hosts that have not followed within 60 s: 1');
});

test('the minute begins when this host has followed itself: what nobody can bring about takes nothing away', async () => {
  const { made, clock } = keeper();
  const udp = await made.ensure(configOf({ open: () => backendOf('udp') }), CONTEXT);
  const vxlan = await made.ensure(configOf({ open: () => backendOf('vxlan') }), CONTEXT);
  const input = inputWith({ '10.5.3.0-24': LEASE });
  const routes = (published: Backend) =>
    made.succeed(vxlan, input, published.attributes).state.host.routes.map(formatRoute);
  for (const at of [0, 60_000, 3_600_000]) {
    clock.at = at;
    expect([routes(udp), made.dueAt]).toEqual([['10.5.3.0/24 dev udp'], Number.POSITIVE_INFINITY]);
  }
  expect(routes(vxlan)).toEqual(['10.5.3.0/24 dev udp']);
  expect(made.dueAt).toBe(3_660_000);
  clock.at = made.dueAt;
  expect(routes(vxlan)).toEqual([]);
});

test('a backend in between that nobody was told of is passed over, and there is a way back', async () => {
  const { made, log } = keeper();
  const udp = await made.ensure(configOf({ open: () => backendOf('udp') }), CONTEXT);
  const stays = inputWith({ '10.5.3.0-24': LEASE });
  made.succeed(udp, stays, udp.attributes);
  const ipip = await made.ensure(configOf({ open: () => backendOf('ipip') }), CONTEXT);
  made.succeed(ipip, stays, udp.attributes);
  const vxlan = await made.ensure(configOf({ open: () => backendOf('vxlan') }), CONTEXT);
  const { host } = made.succeed(vxlan, stays, udp.attributes).state;
  expect([host.links.map(({ name }) => name), host.routes.map(formatRoute)]).toEqual([
    ['vxlan', 'udp'],
    ['10.5.3.0/24 dev udp'],
  ]);
  expect(log.lines.join('\n')).toMatch(/changes from ipip to vxlan: hosts .* are reached by udp/);
  const again = await made.ensure(configOf({ open: () => backendOf('udp') }), CONTEXT);
  expect(made.leaving).toBeUndefined();
  expect(made.succeed(again, stays, udp.attributes).state.host.links).toHaveLength(1);
});

test('of another design of the same type, a lease that was written anew has followed', async () => {
  const { made } = keeper();
  const served: string[] = [];
  const design = (data: string): Backend => {
    const backend = backendOf('wireguard', data);
    return {
      ...backend,
      desired: (input) => {
        const peers = input.peers.map(({ attributes }) => attributes.backendData);
        if (data === 'two ports') served.push(peers.join());
        return backend.desired(input);
      },
    };
  };
  const lease = { ...LEASE, BackendType: 'wireguard', BackendData: 'two ports' };
  const [stays, followed] = ['10.5.2.0-24', '10.5.3.0-24'];
  const separate = await made.ensure(configOf({ open: () => design('two ports') }), CONTEXT);
  made.succeed(separate, inputWith({ [stays]: lease, [followed]: lease }));
  const auto = await made.ensure(configOf({ open: () => design('one port') }), CONTEXT);
  // The second of them is written later: a lease's revision is its place in the list.
  const after = inputWith({ [stays]: lease, other: {}, [followed]: { ...lease, BackendData: 'one port' } });
  expect(after.peers).toHaveLength(2);
  made.succeed(auto, after);
  expect(served).toEqual(['two ports,two ports', 'two ports,two ports']);
});

test('of two hosts that claim the same, the one with the older lease is a peer; what is claimed of a rejected one is free', async () => {
  const { made } = keeper();
  const claiming: Backend = {
    ...backendOf('vxlan'),
    claimsOf: ({ attributes }) => [`MAC ${attributes.backendData}`],
    gapIn: ({ attributes }) => (attributes.backendData === 'b' ? 'not by IPv6' : undefined),
  };
  const backend = await made.ensure(configOf({ open: () => claiming }), CONTEXT);
  const vxlan = { ...LEASE, BackendType: 'vxlan' };
  const input = inputWith({
    '10.5.2.0-24': { ...LEASE, BackendData: 'a' },
    '10.5.3.0-24': { ...vxlan, BackendData: 'a' },
    '10.5.4.0-24': { ...vxlan, BackendData: 'b' },
    '10.5.5.0-24': { ...vxlan, BackendData: 'a' },
  });
  const { state, rejected, gaps } = made.succeed(backend, input);
  expect(state.host.routes.map(formatRoute)).toEqual(['10.5.3.0/24 dev vxlan', '10.5.4.0/24 dev vxlan']);
  expect(rejected.map(({ reason }) => reason)).toEqual([
    'not by vxlan',
    'its MAC a is that of /net/subnets/10.5.3.0-24, too, which is older',
  ]);
  expect(gaps.map(({ entry, reason }) => `${entry.key}: ${reason}`)).toEqual([
    '/net/subnets/10.5.4.0-24: in part: not by IPv6',
  ]);
});
