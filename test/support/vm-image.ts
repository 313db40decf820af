import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { hostImage, imageCache } from './nspawn-image.ts';

const execute = promisify(execFile);

/** Depends on the newest kernel of Debian 12 for virtual machines: smaller than the others, without drivers of hardware. */
const KERNEL = 'linux-image-cloud-amd64';
/** What a virtual machine of a test does not need of a host's disk. */
const LEFT_OUT = [
  ...['usr/bin/docker*', 'usr/sbin/docker*', 'usr/bin/containerd*', 'usr/sbin/runc', 'usr/libexec/docker'],
  ...['usr/lib/python3*', 'usr/share/doc', 'usr/share/locale', 'usr/share/perl*', 'var/lib/apt', 'var/cache'],
];
/** In the order in which they are loaded; the disk that has all the others is reached by them. */
const DISK_MODULES = [
  ...['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci'].map(
    (name) => `drivers/virtio/${name}.ko`,
  ),
  'drivers/block/virtio_blk.ko',
];
const INITRAMFS_INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in ${DISK_MODULES.map((path) => basename(path)).join(' ')}; do $b insmod /$module; done
until [ -b /dev/vdb ]; do $b usleep 20000; done
$b mount -t ext4 /dev/vda /root
$b mount -t ext4 -o ro /dev/vdb /root/opt
$b mount --move /dev /root/dev
exec $b switch_root /root /bin/sh /opt/vm-init.sh
`;
/** Bytes that a disk has beside its files: the tests write little. */
const FREE = 2 ** 27;

/** What virtual machines boot from; they write to none of it. */
export interface VmImage {
  readonly kernel: string;
  readonly initramfs: string;
  readonly disk: string;
}

/** Why this machine cannot run virtual machines, or `undefined`. */
export function vmObstacle(): string | undefined {
  if (process.arch !== 'x64') return 'needs an x86-64 machine';
  const missing = Object.entries({
    'qemu-system-x86_64': 'qemu-system-x86',
    mke2fs: 'e2fsprogs',
    busybox: 'busybox-static',
    wg: 'wireguard-tools',
  }).filter(([program]) => spawnSync(program, ['--help']).error !== undefined);
  return missing.length === 0
    ? undefined
    : `needs ${missing.map(([, debian]) => debian).join(', ')} (make test-vm installs them)`;
}

/** @param say is told what takes long */
export async function vmImage(say: (line: string) => void): Promise<VmImage> {
  const host = await hostImage();
  if ('obstacle' in host) throw new Error(host.obstacle);
  const cache = join(imageCache(), 'vm');
  mkdirSync(cache, { recursive: true });
  const deb = await kernelPackage(cache, say);
  const recipe = [host.folder, deb, LEFT_OUT, INITRAMFS_INIT, FREE];
  const key = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16);
  const folder = join(cache, key);
  if (!existsSync(folder)) {
    say(`making the disk of the virtual machines, once: ${folder}`);
    const unfinished = `${folder}.${process.pid}`;
    try {
      await make(unfinished, host.folder, join(cache, deb));
      await rename(unfinished, folder);
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
  }
  return {
    kernel: join(folder, 'vmlinuz'),
    initramfs: join(folder, 'initramfs'),
    disk: join(folder, 'disk.img'),
  };
}

/** Downloaded once. @returns the name of its file */
async function kernelPackage(cache: string, say: (line: string) => void): Promise<string> {
  const known = () => readdirSync(cache).filter((name) => /^linux-image-.*\.deb$/.test(name));
  const [found] = known();
  if (found !== undefined) return found;
  try {
    const { stdout } = await execute('apt-cache', ['depends', KERNEL]);
    const name = /Depends: (linux-image-[0-9]\S*)/.exec(stdout)?.[1];
    if (name === undefined) throw new Error(`apt knows no ${KERNEL}: apt-get update`);
    say(`downloading ${name}`);
    await execute('apt-get', ['download', '-q', name], { cwd: cache, timeout: 300_000 });
  } catch (error) {
    throw new Error(`no kernel could be downloaded for the virtual machines: ${messageOf(error)}`);
  }
  const [downloaded] = known();
  if (downloaded === undefined) throw new Error(`apt-get download has left no kernel in ${cache}`);
  return downloaded;
}

async function make(folder: string, root: string, deb: string): Promise<void> {
  const kernel = join(folder, 'kernel');
  const tree = join(folder, 'tree');
  await mkdir(folder, { recursive: true });
  await execute('dpkg', ['-x', deb, kernel]);
  const [version] = readdirSync(join(kernel, 'lib/modules'));
  if (version === undefined) throw new Error(`${deb} has no modules`);
  // Links: none of the files is changed.
  await execute('cp', ['-al', root, tree]);
  await execute('sh', ['-c', `rm -rf ${LEFT_OUT.join(' ')}`], { cwd: tree });
  await mkdir(join(tree, 'usr/lib/modules'), { recursive: true });
  await rename(join(kernel, 'lib/modules', version), join(tree, 'usr/lib/modules', version));
  await execute('chroot', [tree, 'depmod', version]);
  const modules = join(tree, 'usr/lib/modules', version, 'kernel');
  await makeInitramfs(folder, modules);
  await makeDisk(join(folder, 'disk.img'), tree);
  await rename(join(kernel, 'boot', `vmlinuz-${version}`), join(folder, 'vmlinuz'));
  for (const done of [kernel, tree]) await rm(done, { recursive: true });
}

async function makeInitramfs(folder: string, modules: string): Promise<void> {
  const content = join(folder, 'initramfs.d');
  for (const name of ['bin', 'dev', 'root']) await mkdir(join(content, name), { recursive: true });
  await cp('/bin/busybox', join(content, 'bin/busybox'));
  for (const path of DISK_MODULES) await cp(join(modules, path), join(content, basename(path)));
  await writeFile(join(content, 'init'), INITRAMFS_INIT, { mode: 0o755 });
  const archive = join(folder, 'initramfs');
  await execute('sh', ['-c', `find . | busybox cpio -o -H newc >'${archive}'`], { cwd: content });
  await rm(content, { recursive: true });
}

/** An ext4 file system with the content of a folder. */
export async function makeDisk(path: string, content: string): Promise<void> {
  const { stdout } = await execute('du', ['-s', '--block-size=1', content]);
  const blocks = Math.ceil((Number.parseInt(stdout, 10) * 1.1 + FREE) / 1024);
  await execute('mke2fs', [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-O',
    '^has_journal',
    '-d',
    content,
    path,
    `${blocks}k`,
  ]);
}
