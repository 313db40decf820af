import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LabHost, labFolder } from '../../src/lab/topology.ts';
import { cniObstacle } from '../support/cni.ts';
import { bridgeAddress, labObstacle, TestLab } from '../support/lab.ts';

const obstacle = labObstacle() ?? cniObstacle() ?? containerdObstacle();

function containerdObstacle(): string | undefined {
  const missing = ['containerd', 'ctr', 'runc', 'busybox'].filter(
    (tool) => spawnSync(tool, ['--help']).error !== undefined,
  );
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')} (make test installs them)`;
}

/**
 * A containerd of the test's own, in a namespace with its own /run, /var/lib, /etc/cni/net.d and /opt/cni/bin: where
 * ctr looks cannot be told. The scratch folder holds `net.d`, `etc`, `work` and the container's `root`.
 */
const SCRIPT = `set -eu
scratch=$1 name=$2 peer=$3
mount -t overlay -o "lowerdir=/etc,upperdir=$scratch/etc,workdir=$scratch/work" overlay /etc
mount --bind "$scratch/net.d" /etc/cni/net.d
mount -t tmpfs tmpfs /mnt && mkdir /mnt/root && mount --bind "$scratch/root" /mnt/root
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /opt && mkdir /opt/cni && ln -s /usr/lib/cni /opt/cni/bin
mount -t tmpfs tmpfs /run
mkdir /run/containerd
containerd --root /run/root --state /run/state --address /run/containerd/containerd.sock >/run/log 2>&1 &
pid=$!
trap 'kill $pid; wait $pid || true' EXIT
for i in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done
ctr run --rm --cni --rootfs --cgroup "/$name" --cap-add CAP_NET_RAW /mnt/root "$name" \\
  /bin/sh -c "ip address show eth0; ping -c 2 -W 2 -s 1444 $peer" || { cat /run/log >&2; exit 1; }`;

describe.skipIf(obstacle)(`containerd, run with ctr ${obstacle ?? ''}`, () => {
  let lab: TestLab;
  let hosts: LabHost[];
  const folder = (host: LabHost) => join(labFolder(lab.lab.spec.name), host.name);
  const settings = (host: LabHost) => join(folder(host), 'corduroyd.json');

  beforeAll(async () => {
    lab = await TestLab.start();
    hosts = await Promise.all([1, 2].map((index) => lab.lab.prepareHost(index)));
    for (const host of hosts) {
      writeFileSync(settings(host), '{}');
      lab.lab.startDaemon(host, ['--config-file', settings(host)]);
    }
    for (const host of hosts) await lab.lab.untilReady(host);
  });
  afterAll(async () => {
    await lab?.remove();
  });

  it('starts a container in the network, which reaches another host at full MTU', async () => {
    const [h1, h2] = hosts as [LabHost, LabHost];
    const scratch = join(folder(h1), 'containerd');
    for (const part of ['net.d', 'etc/cni/net.d', 'work', 'root/bin', 'root/proc', 'root/sys', 'root/dev'])
      mkdirSync(join(scratch, part), { recursive: true });
    copyFileSync(
      (await lab.on(h1, 'sh', '-c', 'command -v busybox')).trim(),
      join(scratch, 'root/bin/busybox'),
    );
    for (const name of ['sh', 'ip', 'ping']) symlinkSync('busybox', join(scratch, 'root/bin', name));

    const conflist = join(scratch, 'net.d', '10-corduroy.conflist');
    await lab.on(h1, 'corduroy', 'cni', 'install', '--config-file', settings(h1), '--cni-conflist', conflist);
    const { lease } = await lab.lab.untilReady(h1);
    const peer = bridgeAddress((await lab.lab.untilReady(h2)).lease?.subnets[0] ?? '');
    const name = `cdyt-${lab.lab.spec.name}`;
    const output = await lab.on(
      h1,
      'unshare',
      ...['--mount', '--propagation', 'private', 'sh', '-c', SCRIPT, 'sh', scratch, name, peer],
    );
    expect(output).toContain('mtu 1472');
    expect(output).toContain(`inet ${lease?.subnets[0]?.replace(/\.0\/24$/, '.2/24')} `);
    expect(output).toContain('2 packets transmitted, 2 packets received');
  });
});
