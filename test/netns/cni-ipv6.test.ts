import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { startInNamespace } from '../../src/lab/processes.ts';
import { type LabHost, labFolder } from '../../src/lab/topology.ts';
import type { Family } from '../../src/net/ip.ts';
import { CniRuntime, cniObstacle } from '../support/cni.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';

const obstacle = labObstacle() ?? cniObstacle();

describe.skipIf(obstacle)(`containers of IPv6 connected by CNI's plugins ${obstacle ?? ''}`, () => {
  let lab: TestLab;
  afterEach(() => lab?.remove());

  /** A host whose containers come by CNI. */
  async function prepare(index: number): Promise<LabHost & { readonly runtime: CniRuntime }> {
    const host = await lab.lab.prepareHost(index);
    const folder = join(labFolder(lab.lab.spec.name), host.name);
    mkdirSync(join(folder, 'cni'));
    const conflist = join(folder, 'net.d', '10-corduroy.conflist');
    const program = join(labFolder(lab.lab.spec.name), 'bin', 'corduroyd');
    const environment = lab.lab.environment(host);
    startInNamespace(host, [program, '--cni-conflist', conflist], host.logFile, environment);
    await lab.lab.untilReady(host);
    await until('the conflist is there', () => {
      try {
        return readFileSync(conflist, 'utf8').length > 0;
      } catch {
        return false;
      }
    });
    return { ...host, runtime: new CniRuntime(host.namespace, conflist, join(folder, 'cni')) };
  }

  async function addPod(host: LabHost & { readonly runtime: CniRuntime }, index: number) {
    const pod = `cdy-${lab.lab.spec.name}-c${100 + index}`;
    await lab.on(host.namespace, 'ip', 'netns', 'add', pod);
    await lab.on(pod, 'ip', 'link', 'set', 'lo', 'up');
    await host.runtime.add(pod);
    return { pod, addresses: host.runtime.addressesOf(pod) };
  }

  it.each<[string, readonly Family[], number]>([
    ['IPv4 and IPv6', [4, 6], 1472],
    ['IPv6 alone', [6], 1452],
  ])('%s: they reach each other at full MTU', async (_what, families, mtu) => {
    lab = await TestLab.start({ families });
    const [h1, h2] = [await prepare(1), await prepare(2)];
    const [one, other] = [await addPod(h1, 1), await addPod(h2, 2)];
    expect(one.addresses.map((address) => (address.includes(':') ? 6 : 4))).toEqual(families);
    for (const address of other.addresses) {
      const size = String(mtu - (address.includes(':') ? 48 : 28));
      const ping = ['ping', '-n', '-c', '1', '-W', '1', '-M', 'do', '-s', size, address];
      await until(
        `${address} answers`,
        async () => (await lab.attempt(one.pod, ...(ping as [string]))).code === 0,
      );
    }
    await h1.runtime.check(one.pod);
    expect((await lab.status(h1)).problems).toEqual([]);

    // The plugin has made a router of the host: it goes on taking the advertisements of others.
    const conf = '/proc/sys/net/ipv6/conf';
    expect(await lab.on(h1, 'cat', `${conf}/all/forwarding`, `${conf}/eth0/accept_ra`)).toBe('1\n2');
    await h1.runtime.del(one.pod);
    await h2.runtime.del(other.pod);
  });
});
