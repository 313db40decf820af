import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { VmCluster } from '../support/vm-cluster.ts';
import { vmObstacle } from '../support/vm-image.ts';

const V4 = { Network: '10.244.0.0/16' };
const DUAL = { ...V4, EnableIPv6: true, IPv6Network: 'fd00:10:244::/48' };

/** Each with the device it has, and the module of the kernel that makes it. */
const BACKENDS = [
  { type: 'wireguard', config: DUAL, device: 'corduroy-wg', module: 'wireguard' },
  { type: 'ipip', config: V4, device: 'corduroy.ipip', module: 'ipip' },
  { type: 'vxlan', config: DUAL, device: 'corduroy.1', module: 'vxlan' },
  { type: 'host-gw', config: DUAL, device: undefined, module: undefined },
  { type: 'udp', config: DUAL, device: 'corduroy0', module: 'tun' },
] as const;

const began = performance.now();
/** Progress: the whole takes minutes. */
function say(line: string): void {
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}\n`);
}

describe.skipIf(vmObstacle())(`two virtual machines with Debian's kernel ${vmObstacle() ?? ''}`, () => {
  let cluster: VmCluster;
  let before: Record<string, string>[];
  /** A step of this backend has failed: those after it would only wait for what does not come. */
  let isBroken = false;

  const states = async () => await Promise.all(cluster.hosts.map((host) => cluster.hostState(host)));

  beforeAll(async () => {
    cluster = await VmCluster.boot(say);
    before = await states();
    say(`they are up: ${await cluster.h1.run('uname', '-r')}`);
  });
  afterEach(({ task }) => {
    const [error] = task.result?.errors ?? [];
    if (error === undefined) return;
    isBroken = true;
    say(`${task.name}: ${error.message}${error.diff ?? ''}`);
  });
  afterAll(async () => {
    await cluster?.end();
    say('they are gone');
  });

  describe.each(BACKENDS)('$type', ({ type, config, device, module }) => {
    beforeEach(({ skip }) => skip(isBroken, 'a step before has failed'));
    afterAll(async () => {
      if (isBroken) await cluster?.clear();
      isBroken = false;
    });

    it('connects containers at full MTU, in every family', async () => {
      await cluster.setConfig({ ...config, Backend: { Type: type } });
      await cluster.start();
      await cluster.untilAllPing();
      const { mtu, problems } = await cluster.status(cluster.h1);
      expect(problems).toEqual([]);
      say(`${type}: containers ping each other with packets of ${mtu} bytes`);
    });

    it.runIf(module)("goes by the kernel's own module", async () => {
      expect(await cluster.h1.run('lsmod')).toMatch(new RegExp(`^${module} `, 'm'));
      const [link] = JSON.parse(await cluster.h1.run('ip', '-d', '-j', 'link', 'show', device ?? ''));
      expect(link.linkinfo.info_kind).toBe(module);
    });

    it('moves a file over TCP whole', async () => {
      const { sent, received, seconds } = await cluster.transfer(8);
      expect(received).toBe(sent);
      say(`${type}: 8 MiB in ${seconds.toFixed(1)} s`);
    });

    it.runIf(device)('puts back a device that somebody has deleted', async () => {
      await cluster.h1.run('ip', 'link', 'delete', device ?? '');
      const took = await cluster.untilAllPing();
      say(`${type}: deleted, and pings again after ${(took / 1000).toFixed(1)} s`);
    });

    it('puts back routes that somebody has flushed', async () => {
      await cluster.h2.run('ip', 'route', 'flush', 'proto', '67');
      await cluster.untilAllPing();
    });

    it.runIf(type === 'wireguard')('gets other keys without losing a packet', async () => {
      const keys = async () =>
        await Promise.all(cluster.hosts.map((host) => host.run('wg', 'show', device ?? '', 'public-key')));
      const [first] = await keys();
      const endPings = await cluster.startPings();
      for (const host of cluster.hosts) say(`${type}: ${await cluster.rotate(host, say)}`);
      // What waits for the other host's handshake is not lost.
      await cluster.untilAllPing();
      for (const { answered, lost } of await endPings()) {
        say(`${type}: of ${answered + lost.length} pings meanwhile ${answered} were answered`);
        expect(lost).toEqual([]);
        expect(answered).toBeGreaterThan(20);
      }
      const now = await keys();
      expect(now).not.toContain(first);
      expect(await cluster.h1.run('wg', 'show', device ?? '', 'peers')).toBe(now[1]);
      await cluster.untilAllPing();
    });

    it('leaves nothing behind', async () => {
      await Promise.all(cluster.hosts.map((host) => cluster.down(host)));
      expect(await states()).toEqual(before);
      say(`${type}: nothing is left`);
    });
  });
});
