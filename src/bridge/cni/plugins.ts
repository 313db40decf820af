import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The plugins that a conflist of Corduroy's names. */
const PLUGINS = ['bridge', 'host-local', 'portmap'] as const;

/** Where runtimes look: containerd in the first, Debian's and podman in the second, podman and nerdctl in all. */
const PLUGIN_FOLDERS = [
  '/opt/cni/bin',
  '/usr/lib/cni',
  '/usr/libexec/cni',
  '/usr/local/lib/cni',
  '/usr/local/libexec/cni',
] as const;

/** @returns what is missing and how to install it, in one sentence; `undefined` when all are in one of the folders */
export function missingPlugins(folders: readonly string[] = PLUGIN_FOLDERS): string | undefined {
  const missing = PLUGINS.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  if (missing.length === 0) return undefined;
  return (
    `no container can be started without these CNI plugins, which are not in ${folders.join(', ')}: ` +
    `${missing.join(', ')}. Debian has them in a package: apt-get install containernetworking-plugins`
  );
}
