import { afterAll, beforeAll, describe, it } from 'vitest';
import type { LabHost } from '../../src/lab/topology.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';

/** Seconds between comparisons that no change has asked for: longer than any test. */
const NEVER = '3600';
/** Milliseconds. What is changed by hand is mended within. */
const SOON = 3000;

describe.skipIf(labObstacle())(`what hands change of a VXLAN ${labObstacle() ?? ''}`, () => {
  let lab: TestLab;
  let host: LabHost;

  beforeAll(async () => {
    lab = await TestLab.start({ families: [4, 6], backend: { Type: 'vxlan' } });
    [host] = (await lab.addHosts(2)) as [LabHost, LabHost];
    await lab.restartDaemon(host, '--iptables-resync', NEVER);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  const shell = (line: string) => lab.on(host, 'sh', '-c', line);
  /** All that leads to the other host. */
  const held = () =>
    shell(
      `ip neigh show nud permanent; ip route show proto 67; ip -6 route show proto 67
       for dev in corduroy.1 corduroy6.1; do
         bridge fdb show dev $dev; ip -o address show dev $dev scope global | sed 's/^[0-9]*: //'; cat /sys/class/net/$dev/address
       done; true`,
    );

  it.each([
    ['a neighbour is deleted', 'ip neigh flush dev corduroy.1 nud permanent'],
    ['an IPv6 neighbour is deleted', 'ip -6 neigh flush dev corduroy6.1 nud permanent'],
    [
      'an FDB entry is deleted',
      `bridge fdb delete $(bridge fdb show dev corduroy.1 | cut -d ' ' -f 1) dev corduroy.1`,
    ],
    [
      'an FDB entry leads elsewhere',
      `bridge fdb replace $(bridge fdb show dev corduroy6.1 | cut -d ' ' -f 1) dev corduroy6.1 dst 2001:db8::99`,
    ],
    ['a route is deleted', 'ip -6 route flush proto 67'],
    ['the hardware address is changed', 'ip link set corduroy.1 address 02:00:00:00:00:99'],
    ['a device is deleted', 'ip link delete corduroy6.1'],
    ['both devices are set down', 'ip link set corduroy.1 down; ip link set corduroy6.1 down'],
  ])('%s, and is mended soon', async (_what, line) => {
    const right = await held();
    const from = lab.log(host).length;
    await shell(line);
    const mended = () => lab.log(host).slice(from).includes('host set up: ');
    await until(`all is back after: ${line}`, async () => mended() && (await held()) === right, SOON);
  });
});
