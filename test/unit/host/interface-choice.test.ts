import { describe, expect, test } from 'vitest';
import type { InterfaceWishes } from '../../../src/host/interface-choice.ts';
import { explainInterface } from '../../../src/host/interfaces.ts';
import { by, explain, type Host, NO_WISHES, networkOf } from './described-host.ts';

const NAT = by('eth0', '10.0.2.2');

const VAGRANT: Host = {
  interfaces: ['eth0 - 10.0.2.15/24', 'eth1 - 192.168.56.11/24', 'docker0 bridge 172.17.0.1/16'],
  defaults: [NAT],
};
/** With a private network each for hosts, storage and nothing. */
const VAGRANT_MANY: Host = {
  ...VAGRANT,
  interfaces: [...VAGRANT.interfaces, 'eth2 - 192.168.99.11/24', 'eth3 - 203.0.113.11/24'],
  routes: {
    '192.168.99.10': { device: 'eth2', source: '192.168.99.11' },
    '192.168.56.11': { device: 'lo', source: '192.168.56.11' },
    '198.51.100.7': { ...NAT, source: '10.0.2.15' },
  },
  names: { 'etcd.lab': ['192.168.99.10'], localhost: ['127.0.0.1'] },
};

describe('without flags', () => {
  test.each<[string, Host, string[], string, RegExp]>([
    [
      'Vagrant on VirtualBox',
      VAGRANT,
      [],
      'eth1 192.168.56.11',
      /NAT behind .* 10\.0\.2\.15, and there is no other$/,
    ],
    [
      'Vagrant, several networks, by the route to etcd',
      VAGRANT_MANY,
      ['http://192.168.99.10:2379'],
      'eth2 192.168.99.11',
      /, and etcd \(192\.168\.99\.10\) is reached by it$/,
    ],
    ['by name', VAGRANT_MANY, ['https://etcd.lab:2379'], 'eth2 192.168.99.11', /etcd \(192\.168\.99\.10\)/],
    [
      'etcd is on this host',
      VAGRANT_MANY,
      ['http://localhost:2379', 'http://192.168.56.11:2379'],
      'eth1 192.168.56.11',
      /it has etcd's address 192\.168\.56\.11$/,
    ],
    [
      'an etcd behind the NAT tells nothing, one private address does',
      {
        ...VAGRANT_MANY,
        interfaces: ['eth0 - 10.0.2.15/24', 'eth1 - 192.168.56.11/24', 'eth3 - 203.0.113.11/24'],
      },
      ['http://198.51.100.7:2379'],
      'eth1 192.168.56.11',
      /no other has a private address$/,
    ],
    [
      'Vagrant with a bridged network that has a default route, too',
      {
        ...VAGRANT,
        interfaces: ['eth0 - 10.0.2.15/24', 'eth1 - 192.168.1.44/24'],
        defaults: [NAT, by('eth1', '192.168.1.1')],
      },
      [],
      'eth1 192.168.1.44',
      /^a default route leaves by it, and the default route leaves by eth0, a NAT/,
    ],
    [
      'VirtualBox, two NATs',
      {
        ...VAGRANT,
        interfaces: [...VAGRANT.interfaces, 'eth2 - 10.0.3.15/24'],
        defaults: [NAT, by('eth2', '10.0.3.2')],
      },
      [],
      'eth1 192.168.56.11',
      /NAT/,
    ],
    [
      'a NAT and nothing else',
      { interfaces: ['eth0 - 10.0.2.15/24'], defaults: [NAT] },
      [],
      'eth0 10.0.2.15',
      /every host has the address 10\.0\.2\.15, and there is no other$/,
    ],
    [
      "VirtualBox's NAT network, which guests share",
      { interfaces: ['eth0 - 10.0.2.15/24', 'eth1 - 192.168.56.3/24'], defaults: [by('eth0', '10.0.2.1')] },
      [],
      'eth0 10.0.2.15',
      /^the default route leaves by it$/,
    ],
    [
      'a company network of these numbers',
      { interfaces: ['eno1 - 10.0.2.44/24', 'eno2 - 10.9.0.44/24'], defaults: [by('eno1', '10.0.2.2')] },
      [],
      'eno1 10.0.2.44',
      /^the default route/,
    ],
    [
      'vagrant-libvirt',
      {
        interfaces: ['eth0 - 192.168.121.33/24', 'eth1 - 192.168.56.11/24'],
        defaults: [by('eth0', '192.168.121.1')],
      },
      [],
      'eth0 192.168.121.33',
      /^the default route/,
    ],
    [
      'AWS',
      {
        interfaces: ['ens5 - 10.0.2.15/20', 'docker0 bridge 172.17.0.1/16'],
        defaults: [by('ens5', '10.0.0.1')],
      },
      [],
      'ens5 10.0.2.15',
      /^the default route/,
    ],
    [
      'Google Cloud',
      { interfaces: ['ens4 - 10.128.0.5/32'], defaults: [by('ens4', '10.128.0.1')] },
      [],
      'ens4 10.128.0.5',
      /^the default route/,
    ],
    [
      'Hetzner',
      { interfaces: ['eth0 - 203.0.113.7/32', 'ens10 - 10.0.0.2/32'], defaults: [by('eth0', '172.31.1.1')] },
      [],
      'eth0 203.0.113.7',
      /^the default route/,
    ],
    [
      'bare metal, bond and VLANs',
      {
        interfaces: ['bond0.10 vlan 10.10.0.5/24', 'bond0.20 vlan 10.20.0.5/24', 'bond0 bond'],
        defaults: [by('bond0.10', '10.10.0.1')],
      },
      [],
      'bond0.10 10.10.0.5',
      /^the default route/,
    ],
    [
      'a hypervisor, its address on a bridge',
      {
        interfaces: ['eno1 -', 'vmbr0 bridge 192.0.2.5/24', 'virbr0 bridge 192.168.122.1/24'],
        defaults: [by('vmbr0', '192.0.2.1')],
      },
      [],
      'vmbr0 192.0.2.5',
      /^the default route/,
    ],
    [
      'a dialled line',
      { interfaces: ['ppp0 ppp 203.0.113.9/32', 'eth0 - 192.168.1.1/24'], defaults: [by('ppp0')] },
      [],
      'ppp0 203.0.113.9',
      /^the default route/,
    ],
    [
      'several default routes',
      {
        interfaces: ['eth0 - 192.0.2.5/24', 'eth1 - 192.168.1.5/24'],
        defaults: [by('eth1', '192.168.1.1'), by('eth0', '192.0.2.1')],
      },
      [],
      'eth1 192.168.1.5',
      /^the default route/,
    ],
    [
      'the default route by WireGuard',
      {
        interfaces: ['wg0 wireguard 10.8.0.5/24', 'eth0 - 192.168.1.5/24', 'cbr0 bridge 10.5.1.1/24'],
        defaults: [by('wg0')],
      },
      [],
      'eth0 192.168.1.5',
      /leaves by wg0, a tunnel, and there is no other$/,
    ],
    [
      'the same, with another one below it',
      {
        interfaces: ['tun0 tun 10.8.0.5/24', 'eth0 - 192.168.1.5/24', 'eth1 - 10.7.0.5/24'],
        defaults: [by('tun0'), by('eth0', '192.168.1.1')],
      },
      [],
      'eth0 192.168.1.5',
      /^a default route leaves by it, and .* tun0, a tunnel$/,
    ],
    [
      'machines on a switch',
      {
        interfaces: ['eth0 - 192.0.2.5/24', 'eth1 - DOWN 192.168.1.5/24', 'docker0 bridge 172.17.0.1/16'],
        defaults: [],
      },
      [],
      'eth0 192.0.2.5',
      /^there is no default route, and there is no other$/,
    ],
  ])('%s', async (_what, host, etcd, expected, why) => {
    const { chosen, problem } = await explain(host, etcd);
    expect(problem).toBeUndefined();
    expect(`${chosen?.name} ${chosen?.v4?.address}`).toBe(expected);
    expect(chosen?.v4?.publicIp).toEqual(chosen?.v4?.address);
    expect(chosen?.why).toMatch(why);
  });

  test.each<[string, Host, string[], RegExp]>([
    [
      'two that could be meant',
      VAGRANT_MANY,
      [],
      /a NAT behind .*, and several others could be meant: name .* --iface$/,
    ],
    [
      'nor does etcd decide while its name is unknown',
      VAGRANT_MANY,
      ['http://etcd.gone:2379'],
      /etcd\.gone, .* cannot be resolved: name/,
    ],
    [
      'a tunnel and nothing else',
      { interfaces: ['wg0 wireguard 10.8.0.5/24'], defaults: [by('wg0')] },
      [],
      /leaves by wg0, a tunnel: name/,
    ],
    [
      'a default route without IPv4 address',
      { interfaces: ['eth0 - fd00::5/64'], defaults: [by('eth0')] },
      [],
      /leaves by eth0, which has no IPv4 address: name/,
    ],
    [
      'containers and nothing else',
      { interfaces: ['cbr0 bridge 10.5.1.1/24', 'corduroy0 tun 10.5.1.0/32'], defaults: [] },
      [],
      /^there is no default route: name/,
    ],
  ])('none: %s', async (_what, host, etcd, says) => {
    const { chosen, problem, candidates } = await explain(host, etcd);
    expect(chosen).toBeUndefined();
    expect(problem).toMatch(says);
    expect(candidates.filter(({ isChosen }) => isChosen)).toEqual([]);
  });
});

describe('one that has been in use', () => {
  const MOVING: Host = {
    interfaces: ['eth0 - 192.0.2.5/24', 'eth1 - 192.168.1.5/24'],
    defaults: [by('eth0')],
  };

  test.each<[string, Host, string | undefined]>([
    [
      'the default route is away',
      { ...MOVING, interfaces: ['eth0 -', 'eth1 - 192.168.1.5/24'], defaults: [] },
      undefined,
    ],
    ['its address is away', { ...MOVING, interfaces: ['eth0 -', 'eth1 - 192.168.1.5/24'] }, undefined],
    ['it is gone for good', { interfaces: ['eth1 - 192.168.1.5/24'], defaults: [] }, 'eth1'],
    ['the default route leaves by another', { ...MOVING, defaults: [by('eth1')] }, 'eth1'],
  ])('gives way to no guess: %s', async (_what, host, expected) => {
    expect((await explain(host, [], 'eth0')).chosen?.name).toBe(expected);
  });

  test('nor to the NAT, when its own address is away', async () => {
    const host = { ...VAGRANT, interfaces: ['eth0 - 10.0.2.15/24', 'eth1 -'] };
    const { chosen, problem } = await explain(host, [], 'eth1');
    expect(chosen).toBeUndefined();
    expect(problem).toMatch(/; eth1 is kept while it is there, or name an interface with --iface$/);
  });

  test('the NAT gives way to a card that comes up later, and to none while two could be meant', async () => {
    const { chosen } = await explain(VAGRANT, [], 'eth0');
    expect(`${chosen?.name} ${chosen?.v4?.address}`).toBe('eth1 192.168.56.11');
    const many = await explain(VAGRANT_MANY, [], 'eth0');
    expect(many.problem).toMatch(/several others could be meant: name an interface with --iface$/);
  });

  test('stays chosen by what has chosen it', async () => {
    expect((await explain(VAGRANT, [], 'eth1')).chosen?.name).toBe('eth1');
  });
});

describe('what is said of the others', () => {
  test('on a host with all of them', async () => {
    const host: Host = {
      interfaces: [
        'eth0 - 10.0.2.15/24',
        'eth1 - 192.168.56.11/24',
        'eth2 - 192.168.99.11/24',
        'eth3 -',
        'eth4 - DOWN 192.168.4.4/24',
        'wg0 wireguard 10.8.0.5/24',
        'docker0 bridge 172.17.0.1/16',
        'veth1 veth',
      ],
      defaults: [NAT],
      routes: { '192.168.56.10': by('eth1') },
    };
    const { candidates } = await explain(host, ['http://192.168.56.10:2379']);
    const said = Object.fromEntries(candidates.map(({ name, why }) => [name, why]));
    expect(said).toMatchObject({
      lo: 'it is the loopback device',
      eth0: 'it is a NAT behind which every host has the address 10.0.2.15',
      eth1: expect.stringContaining('is reached by it'),
      eth2: 'nothing tells that the other hosts reach this one by it',
      eth3: 'it has no IPv4 address',
      eth4: 'it is down, or nobody is at its other end',
      wg0: 'it is a tunnel (wireguard)',
      docker0: 'what is behind it is on this host, as a rule (bridge)',
    });
    expect(said).not.toHaveProperty('veth1');
    expect(candidates.filter(({ isChosen }) => isChosen).map(({ name }) => name)).toEqual(['eth1']);
  });

  test.each<[string, Partial<InterfaceWishes>, string]>([
    ['no flag', {}, 'no default route leaves by it'],
    ['--iface', { iface: ['eth0'] }, 'it is not what --iface eth0 asks for'],
    ['--public-ip', { publicIp: '192.0.2.5' }, 'it has not the address of --public-ip'],
  ])('with %s', async (_what, wishes, says) => {
    const host = networkOf({
      interfaces: ['eth0 - 192.0.2.5/24', 'eth1 - 10.1.0.5/24'],
      defaults: [by('eth0')],
    });
    const { candidates } = await explainInterface({ ...NO_WISHES, ...wishes }, host, [4]);
    expect(candidates.find(({ name }) => name === 'eth1')?.why).toBe(says);
  });
});

test('etcd is asked for only where the choice depends on it', async () => {
  const network = networkOf(VAGRANT);
  const resolve = async () => {
    throw new Error('nobody asks');
  };
  const wishes = { ...NO_WISHES, etcdEndpoints: ['http://etcd.lab:2379'] };
  expect((await explainInterface(wishes, { ...network, resolve }, [4])).chosen?.name).toBe('eth1');
  const many = networkOf(VAGRANT_MANY);
  expect(
    (await explainInterface({ ...wishes, iface: ['eth2'] }, { ...many, resolve }, [4])).chosen?.name,
  ).toBe('eth2');
  await expect(explainInterface(wishes, { ...many, resolve }, [4])).rejects.toThrow('nobody asks');
});
