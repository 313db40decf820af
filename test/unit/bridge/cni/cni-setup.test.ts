import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { CniSetup } from '../../../../src/bridge/cni/cni-setup.ts';
import type { SubnetEnv } from '../../../../src/bridge/subnet-env.ts';
import { resolveOptions } from '../../../../src/config/options.ts';
import type { InterfaceAddress } from '../../../../src/host/state.ts';
import { Ip } from '../../../../src/net/ip.ts';
import { Prefix } from '../../../../src/net/prefix.ts';
import { resolve, usage } from '../../config/resolve.ts';
import { temporaryFolder } from '../../daemon/temporary-folder.ts';
import { RecordedLog } from '../../lease/recorded-log.ts';

/** A host with one bridge, or none. */
class Host {
  readonly conflist = join(temporaryFolder(), '10-corduroy.conflist');
  readonly log = new RecordedLog();
  time = 0;
  looks: string[] = [];
  addresses: string[] = [];

  setup(...flags: string[]): CniSetup {
    const options = resolve([`--cni-conflist=${this.conflist}`, ...flags]);
    return new CniSetup(options.flags, this.log, {
      now: () => this.time,
      readAddresses: async (bridge) => {
        this.looks.push(bridge);
        return this.addresses.map(address);
      },
    });
  }

  /** What the bridge plugin is told. */
  get told() {
    const { name, plugins } = JSON.parse(readFileSync(this.conflist, 'utf8'));
    const { bridge, mtu, ipam } = plugins[0];
    return { name, bridge, mtu, ranges: ipam.ranges.flat() };
  }
}

const address = (text: string): InterfaceAddress => {
  const [ip = '', length] = text.split('/');
  return { ip: Ip.parse(ip), length: Number(length) };
};
const lease = (subnet: string, mtu = 1472): SubnetEnv => ({
  families: [{ network: Prefix.parse('10.5.0.0/16'), subnet: Prefix.parse(subnet) }],
  mtu,
  ipMasq: false,
});

let host: Host;
beforeEach(() => {
  host = new Host();
});

describe('the conflist', () => {
  test('is written with the lease, and again when subnet or MTU change; the log says so each time', async () => {
    const setup = host.setup();
    for (const one of [
      lease('10.5.1.0/24'),
      lease('10.5.1.0/24'),
      lease('10.5.2.0/24'),
      lease('10.5.2.0/24', 1400),
    ])
      await setup.ensure(one);
    expect(host.told).toEqual({
      name: 'corduroy',
      bridge: 'corduroy-cni',
      mtu: 1400,
      ranges: [{ subnet: '10.5.2.0/24', gateway: '10.5.2.1' }],
    });
    expect(host.log.lines.map((line) => line.replace(/\S+\.conflist/, 'FILE'))).toEqual([
      'info: wrote FILE: 10.5.1.0/24, MTU 1472',
      'info: wrote FILE: 10.5.2.0/24, MTU 1472',
      'info: wrote FILE: 10.5.2.0/24, MTU 1400',
    ]);
  });

  test('is put back when somebody removes it', async () => {
    const setup = host.setup();
    await setup.ensure(lease('10.5.1.0/24'));
    rmSync(host.conflist);
    await setup.ensure(lease('10.5.1.0/24'));
    expect(existsSync(host.conflist)).toBe(true);
  });

  test('is left to whoever has changed it', async () => {
    const setup = host.setup();
    await setup.ensure(lease('10.5.1.0/24'));
    const edited = readFileSync(host.conflist, 'utf8').replace('1472', '1450');
    writeFileSync(host.conflist, edited);
    await expect(setup.ensure(lease('10.5.2.0/24'))).rejects.toMatchObject({ code: 'foreign-object' });
    expect(readFileSync(host.conflist, 'utf8')).toBe(edited);
  });

  test('has the names of the settings', async () => {
    await host.setup('--cni-network=overlay', '--cni-bridge=cni0').ensure(lease('10.5.1.0/24'));
    expect(host.told).toMatchObject({ name: 'overlay', bridge: 'cni0' });
  });

  test('has names of its own for an instance, no longer than a link name may be', async () => {
    await host.setup('--instance=abcdefghij').ensure(lease('10.5.1.0/24'));
    expect(host.told).toMatchObject({ name: 'corduroy-abcdefghij', bridge: 'cni-abcdefghij' });
    expect(host.told.bridge.length).toBeLessThanOrEqual(15);
  });

  test('is not for a host whose subnet Docker has: that is said, with who can have it', () => {
    expect(() => host.setup('--docker=options')).toThrow(
      usage(/--docker=options.*corduroy docker unconfigure, or corduroy cni remove$/),
    );
    expect(() => host.setup('--docker=options', '--instance=lab')).toThrow(
      usage(/corduroy docker unconfigure --instance lab, or corduroy cni remove --instance lab$/),
    );
  });
});

describe('the bridge', () => {
  test("may be absent, without an IPv4 address, or have the subnet's first address", async () => {
    for (const addresses of [[], ['fd00::1/64'], ['10.5.1.1/24']]) {
      host.addresses = addresses;
      await host.setup().ensure(lease('10.5.1.0/24'));
    }
    expect(host.looks).toEqual(['corduroy-cni', 'corduroy-cni', 'corduroy-cni']);
  });

  test.each([['10.5.9.1/24'], ['10.5.1.2/24'], ['10.5.1.1/16']])(
    'that has %s is reported after the conflist is written, with the command, until it is gone',
    async (stale) => {
      const setup = host.setup();
      host.addresses = [stale];
      for (let round = 0; round < 2; round++) {
        await expect(setup.ensure(lease('10.5.1.0/24'))).rejects.toMatchObject({
          message: expect.stringMatching(
            new RegExp(`corduroy-cni has ${stale} .* is 10\\.5\\.1\\.0/24: .*ip link delete corduroy-cni$`),
          ),
        });
      }
      expect(host.told.ranges[0].subnet).toBe('10.5.1.0/24');
      host.addresses = [];
      await setup.ensure(lease('10.5.1.0/24'));
    },
  );

  test('with an address outside the network is no bridge to delete: another is to be named', async () => {
    host.addresses = ['192.168.1.5/24'];
    const setup = host.setup('--cni-bridge=vmbr0', '--instance=lab');
    await expect(setup.ensure(lease('10.5.1.0/24'))).rejects.toMatchObject({
      message: expect.stringMatching(
        /vmbr0 has 192\.168\.1\.5\/24, .* network 10\.5\.0\.0\/16: (?!.*delete).*--cni-bridge NAME --instance lab /,
      ),
    });
  });

  test('is looked at when the subnet changes, and else twice a minute: rounds are many', async () => {
    const setup = host.setup();
    for (host.time = 0; host.time < 60_000; host.time += 100) await setup.ensure(lease('10.5.1.0/24'));
    expect(host.looks).toHaveLength(2);
    await setup.ensure(lease('10.5.2.0/24'));
    await setup.ensure(lease('10.5.2.0/24'));
    expect(host.looks).toHaveLength(3);
  });

  test("is that of --bridge where there is one: the daemon keeps its address, so that it isn't looked at", async () => {
    host.addresses = ['10.5.9.1/24'];
    await host.setup('--bridge=cbr0').ensure(lease('10.5.1.0/24'));
    expect(host.told.bridge).toBe('cbr0');
    expect(host.looks).toEqual([]);
    expect(() => host.setup('--bridge=cbr0', '--cni-bridge=cni0')).toThrow(
      usage(/--bridge, cbr0, .*--cni-bridge, cni0, .*drop one/),
    );
  });
});

test('a file that is named has to have an absolute path', () => {
  expect(() => resolveOptions({ 'cni-conflist': ['10-corduroy.conflist'] }, {})).toThrow(/absolute path/);
});
