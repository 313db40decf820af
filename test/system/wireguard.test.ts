import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/lab.ts';
import { hostObstacle } from '../support/nspawn.ts';
import { statusOf, TwoHosts } from '../support/nspawn-cluster.ts';
import { debObstacle } from '../support/nspawn-package.ts';

const obstacle = hostObstacle() ?? debObstacle();
const DEVICE = 'corduroy-wg';
const UNIT = `corduroy-wireguard-go-${DEVICE}.service`;
const NETWORK = '{"Network": "10.244.0.0/16", "Backend": {"Type": "wireguard"}}';
/** CAP_NET_BIND_SERVICE and CAP_NET_ADMIN. */
const FEW = '0000000000001400';

describe.skipIf(obstacle)(`wireguard on hosts with systemd ${obstacle ?? ''}`, () => {
  let hosts: TwoHosts;

  beforeAll(async () => {
    hosts = await TwoHosts.start();
    const admin = '--config-file=/etc/corduroy/admin.json';
    await hosts.first.run('corduroy', 'config', 'set', admin, NETWORK);
    for (const host of hosts.hosts)
      await until('it goes by wireguard', async () => (await statusOf(host)).wireguard !== undefined, 20_000);
    await hosts.healthy();
  });
  afterAll(async () => {
    await hosts?.remove();
  });

  const show = async (property: string, unit = UNIT) =>
    await hosts.first.run('systemctl', 'show', '--value', `--property=${property}`, unit);
  const pid = async () => Number(await show('MainPID'));
  const reaches = async () => {
    const { lease } = await statusOf(hosts.second);
    const address = (lease?.subnets[0] ?? '').replace(/\/.*/, '');
    return (await hosts.first.attempt('ping', '-n', '-c', '1', '-W', '1', address)).code === 0;
  };

  it('wireguard-go runs in a unit of its own, with few rights', async ({ skip }) => {
    await until('the hosts reach each other', reaches, 20_000);
    const { wireguard } = await statusOf(hosts.first);
    skip(wireguard === 'kernel', 'the kernel has WireGuard');
    expect(await show('ActiveState')).toBe('active');
    const process = hosts.first.read(`/proc/${await pid()}/status`);
    expect(process).toMatch(/^Name:\twireguard-go$/m);
    expect(process).toMatch(new RegExp(`^CapBnd:\\t${FEW}$`, 'm'));
    expect(process).toMatch(/^NoNewPrivs:\t1$/m);
    expect(process).toMatch(/^Seccomp:\t2$/m);
  });

  it('it outlives a restart of the daemon, and is there again when it was killed', async ({ skip }) => {
    skip((await statusOf(hosts.first)).wireguard === 'kernel', 'the kernel has WireGuard');
    const before = await pid();
    await hosts.first.run('systemctl', 'restart', 'corduroyd.service');
    await hosts.healthy();
    expect(await pid()).toBe(before);
    await hosts.first.run('systemctl', 'kill', '--signal=KILL', UNIT);
    await until('another one carries packets', async () => (await reaches()) && (await pid()) !== before);
    await hosts.healthy();
  });

  it('the key is rotated by a daemon with few rights', async () => {
    const { stdout, stderr } = await hosts.first.attempt('corduroy', 'wireguard', 'rotate', '--json');
    expect(stderr).toBe('');
    const { after } = JSON.parse(stdout) as { after: string };
    expect(await hosts.first.run('wg', 'show', DEVICE, 'public-key')).toBe(after);
    await until('the hosts reach each other', reaches, 20_000);
  });

  it('down takes it away', async ({ skip }) => {
    const { wireguard } = await statusOf(hosts.first);
    await hosts.first.run('systemctl', 'stop', 'corduroyd.service');
    await hosts.first.run('corduroy', 'down');
    expect((await hosts.first.attempt('ip', 'link', 'show', DEVICE)).code).not.toBe(0);
    skip(wireguard === 'kernel', 'the kernel has WireGuard');
    await until('the unit is gone', async () => (await show('LoadState')) === 'not-found');
  });
});
