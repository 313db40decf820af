import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { canUseNamespaces } from './netns.ts';

const execute = promisify(execFile);

/** What is on the disk of a host of a test, besides Debian's essential packages. */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'dbus', 'kmod', 'procps', 'adduser', 'ca-certificates'],
  ...['iproute2', 'iptables', 'nftables', 'iputils-ping', 'openssl', 'wireguard-tools', 'wireguard-go'],
  ...[
    'etcd-server',
    'etcd-client',
    'docker.io',
    'containernetworking-plugins',
    'busybox-static',
    'cloud-init',
  ],
  // What the package nodejs made below depends on.
  ...['libstdc++6', 'libgcc-s1'],
];

/** Services that Debian enables with their packages: a test starts them when its user would. */
const NOT_ENABLED = ['etcd.service', 'docker.service', 'docker.socket', 'containerd.service'];

/**
 * Makes up for what systemd-nspawn does otherwise than a machine: it mounts cgroups read-only, but for systemd's own, and
 * Docker needs them all (the host has them for itself: nspawn-cgroups.ts); and there is no udev, whose rules let everybody
 * open /dev/net/tun.
 */
const TEST_HOST_UNIT = `[Unit]
Description=What makes this container a host
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for each in $(grep -o " /sys/fs/cgroup/[^ ]*" /proc/self/mounts); do mount -o remount,bind,rw $each; done'
ExecStart=/bin/chmod 666 /dev/net/tun

[Install]
WantedBy=sysinit.target
`;

/** A root file system of Debian 12 for the hosts of tests, or why there is none. */
export type HostImage = { readonly folder: string } | { readonly obstacle: string };

/** Why this machine cannot run whole hosts, or `undefined`. */
export function machineObstacle(): string | undefined {
  const namespaces = canUseNamespaces();
  if (!namespaces.ok) return namespaces.reason;
  const missing = Object.entries({
    'systemd-nspawn': 'systemd-container',
    mmdebstrap: 'mmdebstrap',
    'dpkg-deb': 'dpkg',
    unshare: 'util-linux',
  }).filter(([program]) => spawnSync(program, ['--version']).error !== undefined);
  if (missing.length > 0)
    return `needs ${missing.map(([, debian]) => debian).join(', ')} (make test-packages)`;
  if (!/\toverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'))) return 'needs overlayfs in the kernel';
  return undefined;
}

/** Where the image is kept between runs; `make clean` removes it. */
export function imageCache(): string {
  return join(process.env.XDG_CACHE_HOME ?? '/var/cache', 'corduroy-test');
}

/** Makes the image, unless an earlier run has. */
export async function hostImage(): Promise<HostImage> {
  const obstacle = machineObstacle();
  if (obstacle !== undefined) return { obstacle };
  const folder = join(imageCache(), fingerprint());
  const root = join(folder, 'root');
  if (existsSync(root)) return { folder: root };
  try {
    await mkdir(imageCache(), { recursive: true });
    await removeUnfinished();
    process.stdout.write(`making a Debian root file system for tests with whole hosts, once: ${folder}\n`);
    await make(folder);
    return { folder: root };
  } catch (error) {
    return { obstacle: `no root file system could be made: ${lastLine(messageOf(error))}` };
  }
}

/** Of everything the image depends on: another list makes another image. */
function fingerprint(): string {
  const recipe = JSON.stringify([PACKAGES, NOT_ENABLED, TEST_HOST_UNIT, process.version, arch()]);
  return createHash('sha256').update(recipe).digest('hex').slice(0, 16);
}

/** Under another name until it is whole, so that what an interrupted run leaves is never used. */
async function make(folder: string): Promise<void> {
  const unfinished = `${folder}.${process.pid}`;
  const root = join(unfinished, 'root');
  const node = join(unfinished, 'nodejs.deb');
  const unit = join(unfinished, 'test-host.service');
  await mkdir(unfinished, { recursive: true });
  await writeFile(unit, TEST_HOST_UNIT);
  await makeNodePackage(unfinished, node);
  await execute(
    'setpriv',
    [
      // Everything that it starts and mounts is gone with this process at the latest.
      ...['--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation=private'],
      ...['--pid', '--fork', '--kill-child', '--mount-proc', 'mmdebstrap'],
      ...['--quiet', '--variant=minbase', `--include=${PACKAGES.join(',')}`],
      `--customize-hook=cp '${node}' "$1"/nodejs.deb && chroot "$1" dpkg -i /nodejs.deb && rm "$1"/nodejs.deb`,
      `--customize-hook=cp '${unit}' "$1"/etc/systemd/system/`,
      `--customize-hook=chroot "$1" systemctl enable ${basename(unit)}`,
      `--customize-hook=chroot "$1" systemctl disable ${NOT_ENABLED.join(' ')}`,
      '--customize-hook=touch "$1"/etc/cloud/cloud-init.disabled',
      // The journal outlives a host that is off, and the machine id is each host's own.
      `--customize-hook=mkdir -p "$1"/var/log/journal && : >"$1"/etc/machine-id && rm -f "$1"/etc/hostname`,
      `--customize-hook=chroot "$1" node --version`,
      ...['bookworm', root],
    ],
    { maxBuffer: 2 ** 26, timeout: 900_000 },
  );
  try {
    await rename(unfinished, folder);
  } catch (error) {
    if (!existsSync(join(folder, 'root'))) throw error;
    await remove(unfinished); // Another run was first.
  }
}

/** The package nodejs, of the Node.js that runs this test: Debian 12's own is too old. */
async function makeNodePackage(folder: string, file: string): Promise<void> {
  const tree = join(folder, 'nodejs');
  await mkdir(join(tree, 'DEBIAN'), { recursive: true });
  await mkdir(join(tree, 'usr/bin'), { recursive: true });
  await copyFile(process.execPath, join(tree, 'usr/bin/node'));
  const { stdout } = await execute('dpkg', ['--print-architecture']);
  await writeFile(
    join(tree, 'DEBIAN/control'),
    [
      'Package: nodejs',
      `Version: ${process.version.slice(1)}-1`,
      `Architecture: ${stdout.trim()}`,
      'Depends: libc6, libstdc++6, libgcc-s1',
      'Maintainer: Corduroy <corduroy@localhost>',
      'Description: Node.js of the machine that runs the tests',
      '',
    ].join('\n'),
  );
  await execute('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, file]);
  await remove(tree);
}

/** What runs that are over have left. */
async function removeUnfinished(): Promise<void> {
  for (const name of await readdir(imageCache())) {
    const [, pid] = /^[0-9a-f]+\.(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await remove(join(imageCache(), name));
  }
}

/** Stops at mounts, should there be any. */
async function remove(folder: string): Promise<void> {
  await execute('rm', ['-rf', '--one-file-system', folder]);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? text;
}
