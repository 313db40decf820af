import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LAB_BRIDGE, type LabHost } from '../../src/lab/topology.ts';
import { bridgeAddress, labObstacle, TestLab, until } from '../support/lab.ts';

describe.skipIf(labObstacle())(`alloc: a subnet and nothing else ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let host: LabHost;
  let before: Record<string, string>;

  beforeAll(async () => {
    lab = await TestLab.start({ families: [4, 6], backend: { Type: 'alloc' } });
    host = await lab.lab.prepareHost(1);
    before = await lab.hostState(host);
    lab.lab.startDaemon(host);
    await lab.lab.untilReady(host);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it("leases both subnets, in flannel's form", async () => {
    const { lease, problems } = await lab.status(host);
    expect(problems).toEqual([]);
    const value = await lab.etcdctl('get', '--print-value-only', lease?.key ?? '');
    expect(value).toBe('{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1"}');
  });

  it('hands them on: subnet.env, and the bridge with the MTU of the link', async () => {
    const { lease } = await lab.status(host);
    const [v4 = '', v6 = ''] = lease?.subnets ?? [];
    const [gateway, gateway6] = [`${bridgeAddress(v4)}/24`, `${bridgeAddress(v6)}/64`];
    expect(readFileSync(host.subnetFile, 'utf8')).toBe(
      [
        'FLANNEL_NETWORK=10.244.0.0/16',
        `FLANNEL_SUBNET=${gateway}`,
        'FLANNEL_IPV6_NETWORK=fd00:10:244::/48',
        `FLANNEL_IPV6_SUBNET=${gateway6}`,
        'FLANNEL_MTU=1500',
        'FLANNEL_IPMASQ=false',
        '',
      ].join('\n'),
    );
    const bridge = await lab.on(host, 'ip', '-br', 'address', 'show', LAB_BRIDGE);
    expect(bridge).toContain(gateway);
    expect(bridge).toContain(gateway6);
  });

  it('makes no device and no route for a peer, and takes a lease of any kind for one', async () => {
    const links = await lab.on(host, 'ip', '-br', 'link');
    await lab.putLease(
      '10.244.250.0-24',
      '{"PublicIP":"192.0.2.77","PublicIPv6":null,"BackendType":"vxlan"}',
    );
    await lab.putLease('10.244.251.0-24', '{"PublicIP":"192.0.2.78","PublicIPv6":null}');
    const backends = async () => (await lab.status(host)).peers.map(({ backend }) => backend).join();
    await until('it knows the peers', async () => (await backends()) === 'vxlan,alloc');
    expect(await lab.on(host, 'ip', 'route', 'show', 'proto', '67')).toBe('');
    expect(await lab.on(host, 'ip', '-br', 'link')).toBe(links);
    expect(links).toMatch(/^lo .*\neth0@.*\ncbr0 .*$/);
    expect((await lab.status(host)).engine).toBeUndefined();
  });

  it('leaves nothing', async () => {
    await lab.on(host, 'corduroy', 'down');
    expect(await lab.hostState(host)).toEqual(before);
    expect(existsSync(host.subnetFile)).toBe(false);
  });
});
