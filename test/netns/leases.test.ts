import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerAddress } from '../../src/lab/network.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from '../support/lab.ts';
import { Pings } from '../support/pings.ts';

/** Subnets from 200 on: what hosts pick by chance is among the first hundred. */
describe.skipIf(labObstacle())(`an operator at the leases ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let h1: LabHost;
  let h2: LabHost;

  const leases = async (...words: string[]) => lab.attempt(h1, 'corduroy', 'leases', ...words);

  /** What a command says that succeeds. */
  const done = async (...words: string[]) => {
    const { code, stdout, stderr } = await leases(...words);
    expect([code, stderr]).toEqual([0, '']);
    return stdout.trim();
  };

  /** Whether the key of a subnet hangs on an etcd lease; `undefined`: there is no key. */
  const hasLease = async (subnet: string) => {
    const key = `${NETWORK_PREFIX}/subnets/${subnet.replace('/', '-')}`;
    const json = await lab.etcdctl('get', '-w', 'json', key);
    return json.includes('"mod_revision"') ? /"lease":\d/.test(json) : undefined;
  };

  /** Does something while the containers of both hosts ping each other. @returns how many pings went unanswered */
  const whilePinging = async (work: () => Promise<void>) => {
    const [one, other] = [h1, h2].map(async (host) => containerAddress([await lab.subnet(host)]));
    const pings = [
      new Pings(h1.container.namespace, (await other) ?? ''),
      new Pings(h2.container.namespace, (await one) ?? ''),
    ];
    await work();
    const reports = await Promise.all(pings.map((ping) => ping.stop()));
    for (const { answered } of reports) expect(answered).toBeGreaterThan(20);
    return reports.map(({ lost }) => lost);
  };

  beforeAll(async () => {
    lab = await TestLab.start();
    [h1] = (await lab.addHosts(1)) as [LabHost];
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('reserves a subnet for a host by name, which gets it when it comes', async () => {
    expect(await done('reserve', '10.244.207.0/24', '--host', 'h2')).toMatch(
      /^reserved 10\.244\.207\.0\/24 for h2\nnote: no host that is known now is h2/,
    );
    expect(await done('reserve', '10.244.208.0/24')).toBe('reserved 10.244.208.0/24 for nobody');
    const before = await lab.status(h1);
    expect([before.peers, before.ignoredLeases, before.problems]).toEqual([[], [], []]);
    expect(lab.log(h1)).not.toContain('ignoring');

    h2 = await lab.lab.addHost(2);
    expect(await lab.subnet(h2)).toBe('10.244.207.0/24');
    expect(await hasLease('10.244.207.0/24')).toBe(false);
    await until('h1 knows it', async () => (await lab.status(h1)).peers[0]?.publicIp === '192.0.2.2');
    const target = containerAddress(['10.244.207.0/24']);
    await until('packets flow', () => lab.pings(h1.container.namespace, target));
  });

  it('lists all with host and version, by address', async () => {
    await lab.putLease('10.244.209.0-24', 'rubbish');
    const lines = (await done('list')).split('\n');
    expect(lines[0]).toMatch(/^SUBNET +HOST +PUBLIC IP +BACKEND +EXPIRES +VERSION$/);
    expect(lines).toEqual(
      expect.arrayContaining([
        expect.stringMatching(
          /^10\.244\.\d+\.0\/24 +h1 +192\.0\.2\.1 +udp +in 2?\d (h|d) \d+ (min|h) +\d+\.\d+/,
        ),
        expect.stringMatching(
          /^10\.244\.207\.0\/24 +h2 +192\.0\.2\.2 +udp +never: reserved for h2 +\d+\.\d+/,
        ),
        expect.stringMatching(/^10\.244\.208\.0\/24 +- +- +- +never: reserved for nobody +-$/),
        `malformed: ${NETWORK_PREFIX}/subnets/10.244.209.0-24: the value is not JSON`,
      ]),
    );
    expect(await done('revoke', '10.244.209.0/24', '--force')).toMatch(
      /^deleted \S+10\.244\.209\.0-24, which could not be read/,
    );
  });

  it('pins a lease to its host, which keeps it over a restart, and no ping is lost', async () => {
    const subnet = await lab.subnet(h1);
    const lost = await whilePinging(async () => {
      expect(await done('reserve', subnet)).toBe(
        `reserved ${subnet} for h1 (192.0.2.1), who goes on using it`,
      );
      expect(await hasLease(subnet)).toBe(false);
      await until('h1 is content', async () => (await lab.status(h1)).lease?.state === 'held');
      const { lease } = await lab.restartDaemon(h1);
      expect(lease?.subnets).toEqual([subnet]);
    });
    expect(lost).toEqual([0, 0]);
    expect(await hasLease(subnet)).toBe(false);
    expect(await done('reserve', subnet, '--public-ip', '192.0.2.1')).toContain('is reserved already');
    const { code, stderr } = await leases('reserve', subnet, '--host', 'h9');
    expect([code, stderr]).toEqual([1, expect.stringContaining(`corduroy leases release ${subnet}`)]);
  });

  it('releases a reservation in use without losing a ping: it is a lease again, and expires', async () => {
    const subnets = [await lab.subnet(h1), await lab.subnet(h2)];
    const lost = await whilePinging(async () => {
      for (const subnet of subnets) {
        expect(await done('release', subnet)).toMatch(/is a lease like any other now, of h\d/);
        expect(await hasLease(subnet)).toBe(true);
      }
      for (const host of [h1, h2])
        await until(`${host.name} is content`, async () => (await lab.status(host)).lease?.state === 'held');
    });
    expect(lost).toEqual([0, 0]);
    expect([await lab.subnet(h1), await lab.subnet(h2)]).toEqual(subnets);
    for (const subnet of subnets) expect(await hasLease(subnet)).toBe(true);
    const { leases: listed } = JSON.parse(await done('list', '--json'));
    for (const subnet of subnets) {
      const line = listed.find((one: { subnets: string[] }) => one.subnets.includes(subnet));
      expect(line.expiresIn).toBeGreaterThan(86_000);
    }
    expect(
      await lab.etcdctl('get', '--prefix', '--keys-only', `${NETWORK_PREFIX}/corduroy/reservations/`),
    ).toBe('');
  });

  it('frees a reservation that nobody uses', async () => {
    expect(JSON.parse(await done('release', '10.244.208.0/24', '--json'))).toMatchObject({
      schema: 1,
      action: 'freed',
      changed: true,
    });
    expect(await hasLease('10.244.208.0/24')).toBeUndefined();
    expect(JSON.parse(await done('release', '10.244.208.0/24', '--json'))).toMatchObject({ changed: false });
  });

  it('refuses to revoke the lease of a host that lives, which says so in time', async () => {
    const subnet = await lab.subnet(h2);
    const { code, stderr } = await leases('revoke', subnet);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/leased by h2 \(192\.0\.2\.2\), which lives/)]);
    expect((await lab.status(h2)).lease?.state).toBe('held');
    expect(lab.log(h2)).toContain('another host asked whether this machine lives');
  });

  it('revokes a live lease by force: its host takes it again at once', async () => {
    const subnet = await lab.subnet(h2);
    expect(await done('revoke', subnet, '--force')).toContain('takes the lease again at once');
    await until('h2 has it again', async () => (await hasLease(subnet)) === true);
    await until('h2 is content', async () => (await lab.status(h2)).lease?.state === 'held');
    expect(await lab.subnet(h2)).toBe(subnet);
  });

  it('revokes the lease of a dead host: the others drop its route, and the subnet is free', async () => {
    const subnet = await lab.subnet(h2);
    await lab.endDaemon(h2, 'SIGKILL');
    expect(await done('revoke', subnet)).toBe(`deleted the lease of ${subnet}, which was of h2 (192.0.2.2)`);
    await until('h1 has dropped it', async () => (await lab.status(h1)).peers.length === 0);
    expect(await lab.etcdctl('get', '--prefix', '--keys-only', `${NETWORK_PREFIX}/corduroy/`)).toMatch(
      /^\S+\/corduroy\/nodes\/[0-9a-f]{32}$/,
    );
    expect(await done('reserve', subnet)).toBe(`reserved ${subnet} for nobody`);
  });

  it('says what is wrong with a subnet, with an example; exit code 2', async () => {
    for (const [subnet, message] of [
      ['10.244.80.0/25', /this network 10\.244\.0\.0\/16 leases \/24, such as 10\.244\.1\.0\/24/],
      ['10.9.1.0/24', /outside the network 10\.244\.0\.0\/16/],
      ['10.244.80.1/24', /host bits set: the network is 10\.244\.80\.0\/24/],
      ['ten', /not a network in CIDR form, such as/],
    ] as const) {
      const { code, stderr } = await leases('reserve', subnet);
      expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    }
  });
});
