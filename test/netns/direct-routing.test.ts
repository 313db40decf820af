import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import { pingMatrix } from '../../src/lab/ping-matrix.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';
import { Pings } from '../support/pings.ts';

/** Two hosts on one link and one behind a router, with the udp backend. */
describe.skipIf(labObstacle())(`DirectRouting of the udp backend ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let near: LabHost;
  let here: LabHost;

  beforeAll(async () => {
    lab = await TestLab.start({ backend: { Type: 'udp', DirectRouting: true }, links: 2 });
    const [first, , third] = await lab.addHosts(3);
    if (first === undefined || third === undefined) throw new Error('no hosts');
    [here, near] = [first, third];
    await until('each knows the others, and who takes plain packets', async () => {
      const known = await Promise.all(lab.lab.hosts().map(paths));
      return known.join(' ') === 'direct,encapsulated encapsulated,encapsulated direct,encapsulated';
    });
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const paths = async (host: LabHost) => (await lab.status(host)).peers.map(({ path }) => path).sort();
  const sent = async (host: LabHost) =>
    Object.fromEntries(
      (await lab.status(host)).peers.map(({ publicIp, sentPackets }) => [publicIp, sentPackets]),
    );

  it('the engine moves no packet of a peer on the link, whose rp_filter may be strict', async () => {
    for (const host of lab.lab.hosts())
      await lab.on(host, 'sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1', 'net.ipv4.conf.eth0.rp_filter=1');
    const before = await sent(here);
    const pings = await pingMatrix(lab.lab);
    expect(pings).toHaveLength(6);
    expect(pings.filter(({ roundTrip }) => roundTrip === undefined)).toEqual([]);
    const after = await sent(here);
    expect(after['192.0.2.3']).toBe(before['192.0.2.3']);
    expect(after['198.51.100.2']).toBeGreaterThan(before['198.51.100.2'] ?? 0);
    expect(await lab.on(here, 'corduroy', 'status')).toMatch(/192\.0\.2\.3 .* direct$/m);
  });

  it("flanneld's host on the link is sent to through the tunnel: plain packets would be dropped there", async () => {
    await lab.putLease('10.244.250.0-24', '{"PublicIP":"192.0.2.77","PublicIPv6":null}');
    await until('it is a peer', async () =>
      (await lab.status(here)).peers.some(({ publicIp }) => publicIp === '192.0.2.77'),
    );
    expect(await lab.on(here, 'ip', 'route', 'get', '10.244.250.2')).toContain('dev corduroy0');
  });

  it('it is switched off and on while packets flow: none is lost', async () => {
    for (const host of lab.lab.hosts())
      await lab.on(host, 'sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=2', 'net.ipv4.conf.eth0.rp_filter=2');
    const address = containerAddress([await lab.subnet(near)]);
    const pings = new Pings(here.container.namespace, address);
    for (const DirectRouting of [false, true, false, true]) {
      const document = JSON.stringify({
        Network: '10.244.0.0/16',
        Backend: { Type: 'udp', DirectRouting },
      });
      await lab.on(here, 'corduroy', 'config', 'set', document);
      const device = DirectRouting ? 'dev eth0' : 'dev corduroy0';
      await until(`packets leave by ${device}`, async () =>
        (await lab.on(here, 'ip', 'route', 'get', address)).includes(device),
      );
    }
    const { answered, lost } = await pings.stop();
    expect(answered).toBeGreaterThan(0);
    expect(lost).toBe(0);
  });
});
