import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canUseNamespaces, NetNamespace } from '../support/netns.ts';
import { BUILT } from '../support/programs.ts';

const namespaces = canUseNamespaces();

interface Explained {
  readonly chosen: { readonly name: string; readonly publicIp: string; readonly why: string } | null;
  readonly problem?: string;
  readonly candidates: readonly { readonly name: string; readonly chosen: boolean; readonly why: string }[];
}

/** What the kernel and `ip` make of such hosts; the choices themselves are in the unit test. */
describe.skipIf(!namespaces.ok)(`corduroy iface explain ${namespaces.ok ? '' : namespaces.reason}`, () => {
  let host: NetNamespace;
  let wire: NetNamespace;

  beforeAll(async () => {
    [host, wire] = [await NetNamespace.create(), await NetNamespace.create()];
    for (const name of ['eth0', 'eth1', 'eth2']) {
      await host.script(`ip link add ${name} type veth peer name ${name} netns ${wire.name}`);
      await wire.script(`ip link set ${name} up`);
    }
    await host.script(`
      ip link add docker0 type bridge
      ip address add 172.17.0.1/16 dev docker0
      ip link set docker0 up
      ip link set eth0 up
      ip address add 10.0.2.15/24 dev eth0
      ip route add default via 10.0.2.2
      ip link set eth1 up
      ip address add 192.168.56.11/24 dev eth1
    `);
  });
  afterAll(async () => {
    await host?.remove();
    await wire?.remove();
  });

  async function explain(...flags: string[]): Promise<{ code: number; text: string; said: Explained }> {
    const run = async (...more: string[]) => {
      const words = [join(BUILT, 'corduroy.js'), 'iface', 'explain', ...flags, ...more];
      const [command, args] = host.command(process.execPath, words);
      return await new Promise<{ code: number; text: string }>((done) => {
        const env = { PATH: process.env.PATH, CORDUROYD_CONFIG_FILE: undefined };
        execFile(command, args, { env }, (error, stdout, stderr) =>
          done({ code: Number(error?.code ?? 0), text: stdout + stderr }),
        );
      });
    };
    const { code, text } = await run();
    return { code, text, said: JSON.parse((await run('--json')).text) as Explained };
  }

  it('chooses the private network of a Vagrant machine, and says why not the NAT', async () => {
    const { code, text, said } = await explain();
    expect(code).toBe(0);
    expect(said.chosen).toMatchObject({ name: 'eth1', publicIp: '192.168.56.11' });
    expect(text).toMatch(/^\* {2}eth1 +192\.168\.56\.11 +1500 +the default route leaves by eth0, a NAT/m);
    expect(text).toMatch(/^ +eth0 +10\.0\.2\.15 +1500 +it is a NAT/m);
    expect(text).toMatch(/^ +docker0 +172\.17\.0\.1 +1500 .*\(bridge\)$/m);
    expect(text).toMatch(/other hosts send to 192\.168\.56\.11, and containers have an MTU of 1472/);
    expect(text).toContain('--iface=NAME');
    expect(said.candidates.filter(({ chosen }) => chosen)).toHaveLength(1);
  });

  it('takes flags', async () => {
    expect((await explain('--iface', 'eth0')).said.chosen?.name).toBe('eth0');
    expect((await explain('--iface-can-reach', '192.168.56.1')).said.chosen?.name).toBe('eth1');
    expect((await explain('--public-ip', '198.51.100.7')).said.chosen?.publicIp).toBe('198.51.100.7');
  });

  it('looks where etcd is when there are several, and fails where nothing tells', async () => {
    await host.script(`
      ip link set eth2 up
      ip address add 192.168.99.11/24 dev eth2
    `);
    const by = (url: string) => explain('--etcd-endpoints', url);
    expect((await by('http://192.168.99.10:2379')).said.chosen).toMatchObject({
      name: 'eth2',
      publicIp: '192.168.99.11',
    });
    expect((await by('http://192.168.56.11:2379')).said.chosen?.why).toContain(
      "it has etcd's address 192.168.56.11",
    );
    const { code, text, said } = await explain();
    expect(code).toBe(1);
    expect(said.chosen).toBeNull();
    expect(text).toMatch(
      /none can be chosen: .*several others could be meant: name an interface with --iface/,
    );
    await host.script('ip link set eth2 down');
    expect((await explain()).said.candidates.find(({ name }) => name === 'eth2')?.why).toMatch(
      /no IPv4|is down/,
    );
  });

  it('follows the default route where that is no NAT: a cloud machine with an address alone', async () => {
    await host.script(`
      ip address flush dev eth0
      ip address add 10.128.0.5/32 dev eth0
      ip route add 10.128.0.1 dev eth0
      ip route add default via 10.128.0.1 dev eth0
    `);
    const { said } = await explain();
    expect(said.chosen).toMatchObject({
      name: 'eth0',
      publicIp: '10.128.0.5',
      why: 'the default route leaves by it',
    });
  });
});
