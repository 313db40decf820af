import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';

describe.skipIf(labObstacle())(`keys and values as flannel's ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1] = (await lab.addHosts(1)) as [LabHost];
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('writes its lease byte for byte as flanneld would, with a lease of 24 hours', async () => {
    const key = `${NETWORK_PREFIX}/subnets/${(await lab.subnet(h1)).replace('/', '-')}`;
    const all = (await lab.etcdctl('get', '--prefix', `${NETWORK_PREFIX}/`)).split('\n');
    const beside = all.findIndex((line) => line.startsWith(`${NETWORK_PREFIX}/corduroy/`));
    // What flannel has no key for stands beside, where it does not look.
    expect([...all.slice(0, beside), ...all.slice(beside + 2)].join('\n')).toBe(
      [
        `${NETWORK_PREFIX}/config`,
        '{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}',
        key,
        '{"PublicIP":"192.0.2.1","PublicIPv6":null}',
      ].join('\n'),
    );
    const { id } = (await lab.status(h1)).node;
    expect(all[beside]).toBe(`${NETWORK_PREFIX}/corduroy/nodes/${id}`);
    expect(JSON.parse(all[beside + 1] ?? '')).toMatchObject({
      hostName: 'h1',
      lease: key.slice(`${NETWORK_PREFIX}/subnets/`.length),
      publicIP: '192.0.2.1',
    });
    const { leases } = JSON.parse(await lab.on(h1, 'corduroy', 'leases', 'list', '--json'));
    expect(leases).toHaveLength(1);
    expect(leases[0].expiresIn).toBeGreaterThan(86_400 - 120);
    expect(leases[0].expiresIn).toBeLessThanOrEqual(86_400);
  });

  it("makes a key written by hand in any of flannel's forms a route", async () => {
    await lab.putLease('10.244.200.0-24', '{"PublicIP":"192.0.2.50","PublicIPv6":null}');
    await lab.putLease(
      '10.244.201.0-24',
      '{"PublicIP":"192.0.2.51","PublicIPv6":null,"BackendType":"host-gw"}',
    );
    await lab.putLease(
      '10.244.202.0-24&fd00:12:13::-56',
      '{"PublicIP":"192.0.2.52","PublicIPv6":null,"Later":1}',
    );
    await until('they are peers', async () => (await lab.status(h1)).peers.length === 3);
    const { peers, ignoredLeases } = await lab.status(h1);
    expect(peers.map(({ publicIp, subnets, backend }) => [publicIp, subnets.join(), backend])).toEqual(
      expect.arrayContaining([
        ['192.0.2.50', '10.244.200.0/24', 'udp'],
        ['192.0.2.51', '10.244.201.0/24', 'host-gw'],
        // This network has no IPv6: of a dual-stack lease, the IPv4 half is used.
        ['192.0.2.52', '10.244.202.0/24', 'udp'],
      ]),
    );
    expect(ignoredLeases).toEqual([]);
    // Packets for it leave for 192.0.2.50: nobody answers there, and nobody says "unreachable" from here.
    const { stdout } = await lab.attempt(
      h1.container.namespace,
      'ping',
      '-n',
      '-c',
      '1',
      '-W',
      '0.3',
      '10.244.200.2',
    );
    expect(stdout).not.toContain('Unreachable');
    expect(
      (await lab.status(h1)).peers.find(({ publicIp }) => publicIp === '192.0.2.50')?.sentPackets,
    ).toBeGreaterThan(0);
  });

  it('names malformed and hostile keys once, ignores them, and takes no harm', async () => {
    const subnet = await lab.subnet(h1);
    const hostile: [string, string, RegExp][] = [
      ['nonsense', '{}', /does not have the form/],
      ['10.244.300.0-24', '{"PublicIP":"192.0.2.60"}', /10\.244\.300\.0/],
      ['10.244.210.7-24', '{"PublicIP":"192.0.2.60"}', /host bits/],
      ['10.244.211.0-24', 'not json', /not JSON/],
      ['10.244.212.0-24', '{"PublicIP":"192.0.2"}', /PublicIP is no IPv4 address/],
      ['10.244.213.0-24', '[]', /neither PublicIP/],
      ['10.244.214.0-24', '{"PublicIP":"127.0.0.1"}', /none a host can have/],
      ['10.244.215.0-24', '{"PublicIP":"10.244.3.3"}', /inside the network/],
      ['10.9.0.0-24', '{"PublicIP":"192.0.2.61"}', /outside the network/],
      ['0.0.0.0-0', '{"PublicIP":"192.0.2.62"}', /outside the network/],
      [`${subnet.split('/')[0]}-25`, '{"PublicIP":"192.0.2.63"}', /overlaps/],
    ];
    for (const [name, value] of hostile) await lab.putLease(name, value);
    await lab.putLease('10.244.220.0-24', '{"PublicIP":"192.0.2.70","PublicIPv6":null}');
    await until('the good one is a peer', async () =>
      (await lab.status(h1)).peers.some(({ publicIp }) => publicIp === '192.0.2.70'),
    );
    const { ignoredLeases, peers, problems } = await lab.status(h1);
    for (const [name, , reason] of hostile) {
      const key = `${NETWORK_PREFIX}/subnets/${name}`;
      expect(ignoredLeases.find((lease) => lease.key === key)?.reason, name).toMatch(reason);
      expect(lab.log(h1).split(`ignoring ${key} in etcd`), name).toHaveLength(2);
    }
    expect(peers.some(({ publicIp }) => /^192\.0\.2\.6|^127|^10/.test(publicIp))).toBe(false);
    expect(problems).toEqual([]);
  });
});
