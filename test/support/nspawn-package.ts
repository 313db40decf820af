import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { NspawnHost } from './nspawn.ts';
import { BUILT } from './programs.ts';

/** Why there is no package to install, or `undefined`. */
export function debObstacle(): string | undefined {
  const debs = builtDebs();
  if (debs.length === 0) return 'needs the Debian package (make deb)';
  return debs.length === 1
    ? undefined
    : `needs one Debian package and finds ${debs.join(', ')} (make clean deb)`;
}

/** The package `make deb` has made. */
export function builtDeb(): string {
  return join(BUILT, builtDebs()[0] ?? '');
}

function builtDebs(): string[] {
  return existsSync(BUILT) ? readdirSync(BUILT).filter((name) => /^corduroy_.*\.deb$/.test(name)) : [];
}

/** Installs or upgrades. @returns what dpkg printed */
export async function installDeb(host: NspawnHost, deb = builtDeb()): Promise<string> {
  const place = await host.copyIn(deb);
  const { code, stdout, stderr } = await host.attempt('dpkg', '--install', place);
  if (code !== 0) throw new Error(`${host.name}: dpkg --install: ${stderr}\n${stdout}`);
  return stdout + stderr;
}

/** The same package with a higher version, on the host. @returns the file there */
export async function laterDeb(host: NspawnHost, version: string): Promise<string> {
  const place = await host.copyIn(builtDeb());
  const later = `/root/corduroy_${version}.deb`;
  await host.sh(`
    tree=$(mktemp -d)
    dpkg-deb -R ${place} $tree
    sed -i 's/^Version: .*/Version: ${version}/' $tree/DEBIAN/control
    dpkg-deb --root-owner-group -Znone -b $tree ${later}
    rm -rf $tree`);
  return later;
}
