import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';
import { type PingReport, Pings } from '../support/pings.ts';

/** Milliseconds for which pings go on when a change is taken up: the backend before goes on for three seconds at least. */
const AFTERWARDS = 1000;
/** Milliseconds without an answer at the most while a backend changes; measured: see the log. */
const SHORT = 1500;
const BASE = { Network: '10.244.0.0/17' };

/** What was measured, for whoever reads the run. */
function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

describe.skipIf(labObstacle())(
  `the network config changes while containers talk ${labObstacle() ?? ''}`,
  () => {
    let lab: TestLab;
    let hosts: LabHost[];
    let [h1, h2]: LabHost[] = [];

    const set = async (config: object, ...flags: string[]) =>
      await lab.attempt(host(h1), 'corduroy', 'config', 'set', ...flags, JSON.stringify(config));
    const host = (one: LabHost | undefined): LabHost => {
      if (one === undefined) throw new Error('there is no such host');
      return one;
    };
    const problems = async () =>
      (await Promise.all(hosts.map((one) => lab.status(one))))
        .flatMap((status) => status.problems)
        .join('; ');
    const subnets = async () =>
      (await Promise.all(hosts.map((one) => lab.status(one)))).map(({ lease }) => lease?.subnets ?? []);

    /** Pings both ways while a config is written and taken up, and until what was there before is gone. */
    async function during(
      what: string,
      config: object,
      isDone: () => Promise<boolean>,
      isOver?: () => Promise<boolean>,
    ): Promise<PingReport[]> {
      const [one, other] = [host(h1), host(h2)];
      const [first = [], second = []] = await subnets();
      const pings = [
        new Pings(one.container.namespace, containerAddress(second)),
        new Pings(other.container.namespace, containerAddress(first)),
      ];
      await sleep(500);
      const { code, stdout, stderr } = await set(config);
      expect([code, stderr]).toEqual([0, '']);
      const taken = await until(what, isDone, 20_000);
      if (isOver !== undefined) await until(`${what}: what was before is gone`, isOver);
      await sleep(AFTERWARDS);
      const reports = await Promise.all(pings.map((ping) => ping.stop()));
      for (const { answered, lost, longestGap } of reports)
        say(
          `${what}: taken up in ${Math.round(taken)} ms, ${lost} of ${answered + lost} pings lost, longest gap ${longestGap} ms`,
        );
      expect(stdout).toContain('this will happen:');
      return reports;
    }

    /** What the backends leave on a host. */
    const stateOf = async (one: LabHost) =>
      (
        await Promise.all([
          lab.on(one, 'ip', '-d', 'link'),
          lab.on(one, 'ip', 'route'),
          lab.on(one, 'ss', '-uln'),
          lab.on(one, 'cat', one.subnetFile),
        ])
      ).join('\n');

    const runsBy = (backend: string) => async () => {
      const states = await Promise.all(hosts.map((one) => lab.status(one)));
      return states.every(
        ({ ready, network, peers }) => ready && network?.backend === backend && peers.length === 1,
      );
    };

    beforeAll(async () => {
      lab = await TestLab.start({ config: JSON.stringify(BASE) });
      hosts = await lab.addHosts(2);
      [h1, h2] = hosts;
      await until('both know each other', runsBy('udp'));
    });
    afterAll(async () => {
      await lab?.remove();
    });

    it.each<[string, string, { Type: string; [option: string]: unknown }, RegExp, RegExp | undefined]>([
      ['udp', 'vxlan', { Type: 'vxlan' }, /vxlan id 1 /, /corduroy0:/],
      ['vxlan', 'vxlan with another VNI', { Type: 'vxlan', VNI: 7 }, /vxlan id 7 /, /vxlan id 1 /],
      ['vxlan', 'vxlan with an MTU', { Type: 'vxlan', VNI: 7, MTU: 1400 }, /FLANNEL_MTU=1350/, undefined],
      [
        'vxlan',
        'vxlan with DirectRouting',
        { Type: 'vxlan', VNI: 7, DirectRouting: true },
        /via 192\.0\.2\.2 dev eth0/,
        undefined,
      ],
      ['vxlan', 'host-gw', { Type: 'host-gw' }, /via 192\.0\.2\.2 dev eth0/, /vxlan id/],
      ['host-gw', 'udp', { Type: 'udp' }, /:8285 /, /via 192\.0\.2\.2 /],
      ['udp', 'udp on another port', { Type: 'udp', Port: 9285 }, /:9285 /, /:8285 /],
    ])(
      '%s → %s: hosts change over side by side',
      { timeout: 60_000 },
      async (from, to, backend, now, gone) => {
        const before = await subnets();
        const reports = await during(
          `${from} → ${to}`,
          { ...BASE, Backend: backend },
          async () => (now.test(await stateOf(host(h1))) ? await runsBy(backend.Type)() : false),
          gone && (async () => !gone.test(await stateOf(host(h1)))),
        );
        for (const { answered, longestGap } of reports) {
          expect(answered).toBeGreaterThan(100);
          expect(longestGap).toBeLessThan(SHORT);
        }
        expect(await subnets()).toEqual(before);
        expect(await problems()).toBe('');
      },
    );

    it('a larger network: nothing is interrupted', { timeout: 60_000 }, async () => {
      const before = await subnets();
      const larger = {
        Network: '10.244.0.0/16',
        SubnetMin: '10.244.1.0',
        Backend: { Type: 'udp', Port: 9285 },
      };
      const reports = await during('a larger network', larger, async () =>
        (await Promise.all(hosts.map((one) => lab.status(one)))).every(({ network }) =>
          network?.networks.includes('10.244.0.0/16'),
        ),
      );
      for (const { lost, longestGap } of reports)
        expect([lost < 20, longestGap < SHORT]).toEqual([true, true]);
      expect(await subnets()).toEqual(before);
      for (const one of hosts)
        expect(await lab.on(one, 'ip', 'route')).toContain('10.244.0.0/16 dev corduroy0');
    });

    it('IPv6 is added: each host leases a subnet of it beside its own', { timeout: 60_000 }, async () => {
      const before = await subnets();
      const dual = {
        Network: '10.244.0.0/16',
        SubnetMin: '10.244.1.0',
        EnableIPv6: true,
        IPv6Network: 'fd00:10:244::/48',
        Backend: { Type: 'udp', Port: 9285 },
      };
      const reports = await during('IPv4 → both', dual, async () => {
        const all = await subnets();
        return (
          all.every(({ length }) => length === 2) && (await problems()) === '' && (await runsBy('udp')())
        );
      });
      for (const { longestGap } of reports) expect(longestGap).toBeLessThan(SHORT);
      const after = await subnets();
      expect(after.map(([first]) => first)).toEqual(before.map(([first]) => first));
      const keys = await lab.etcdctl('get', '--prefix', '--keys-only', `${NETWORK_PREFIX}/subnets/`);
      const names = after.map((pair) => pair.map((subnet) => subnet.replace('/', '-')).join('&'));
      expect(keys.split(/\s+/).sort()).toEqual(
        names.map((name) => `${NETWORK_PREFIX}/subnets/${name}`).sort(),
      );
      for (const [index, one] of hosts.entries())
        expect(await lab.on(one, 'cat', one.subnetFile)).toContain(
          `FLANNEL_IPV6_SUBNET=${after[index]?.[1]?.split('::/')[0]}`,
        );
    });

    it('a config that takes subnets away is refused; etcdctl’s too, by the hosts', {
      timeout: 60_000,
    }, async () => {
      const before = await subnets();
      const other = { Network: '10.99.0.0/16' };
      for (const flags of [[], ['--dry-run']]) {
        const { code, stdout, stderr } = await set(other, ...flags);
        expect([code, stderr]).toEqual([1, expect.stringContaining('corduroy config set --force')]);
        expect(stdout).toMatch(
          /h2 \(10\.244\.\d+\.0\/24, fd00:.*\) has to lease another subnet in place of 10\.244\./,
        );
      }
      await lab.etcdctl('put', `${NETWORK_PREFIX}/config`, JSON.stringify(other));
      await until('they say so', async () => /does not fit it/.test(await problems()));
      expect(await subnets()).toEqual(before);
      // The same text is not in force because it stands there.
      expect((await set(other)).code).toBe(1);
      // Nor does a daemon that starts, after a crash or an upgrade, carry it out.
      await lab.endDaemon(host(h2), 'SIGKILL');
      lab.lab.startDaemon(host(h2));
      await until('the started one says so, too', async () =>
        /does not fit it/.test((await lab.status(host(h2)).catch(() => undefined))?.problems.join() ?? ''),
      );
      await until('it is as it was', async () => (await lab.status(host(h2))).ready);
      expect(await subnets()).toEqual(before);
      expect(await lab.pings(host(h1).container.namespace, containerAddress(before[1] ?? []))).toBe(true);
    });

    it('by force each host leases another one, and then follows with everything', {
      timeout: 60_000,
    }, async () => {
      const pings = new Pings(host(h1).container.namespace, containerAddress((await subnets())[1] ?? []));
      const { code } = await set({ Network: '10.99.0.0/16' }, '--force');
      expect(code).toBe(0);
      const took = await until('both have moved', async () => {
        const states = await Promise.all(hosts.map((one) => lab.status(one)));
        return states.every(
          ({ lease, network }) =>
            network?.networks.join() === '10.99.0.0/16' &&
            lease?.subnets.length === 1 &&
            lease.subnets[0]?.startsWith('10.99.') &&
            lease.state === 'held',
        );
      });
      say(`a forced change of the network: carried out in ${Math.round(took)} ms`);
      await until('both know each other', runsBy('udp'));
      await pings.stop();
      expect(await problems()).toMatch(/has changed from 10\.244\..*restart its containers/);
      const keys = await lab.etcdctl('get', '--prefix', '--keys-only', `${NETWORK_PREFIX}/subnets/`);
      expect(keys.split(/\s+/)).toHaveLength(2);
      expect(keys).not.toContain('10.244.');
      const after = await subnets();
      for (const [index, one] of hosts.entries()) {
        await until('its file says so', async () =>
          (await lab.on(one, 'cat', one.subnetFile)).includes('FLANNEL_NETWORK=10.99.0.0/16'),
        );
        const own = after[index]?.[0] ?? '';
        expect(await lab.on(one, 'ip', '-4', 'address', 'show', 'dev', 'corduroy0')).toContain(
          `${own.split('/')[0]}/32`,
        );
        const routes = await lab.on(one, 'ip', 'route');
        expect([routes.includes('10.99.0.0/16'), routes.includes('10.244.0.0/16')]).toEqual([true, false]);
      }
    });
  },
);
