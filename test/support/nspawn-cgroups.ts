import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const MOUNT = '/sys/fs/cgroup';

/** The one hierarchy of cgroups v2, or each controller's of v1. Links (`cpu` to `cpu,cpuacct`) are no more of them. */
function hierarchies(): string[] {
  if (existsSync(join(MOUNT, 'cgroup.procs'))) return [MOUNT];
  return readdirSync(MOUNT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(MOUNT, entry.name))
    .filter((folder) => existsSync(join(folder, 'cgroup.procs')));
}

/** Makes a group of a name in every hierarchy. A host that starts in them sees them as its roots. @returns these */
export function makeCgroups(name: string): string[] {
  return hierarchies().map((hierarchy) => {
    const group = join(hierarchy, name);
    mkdirSync(group, { recursive: true });
    // cgroups v1 takes no process into a group without processors and memory.
    if (basename(hierarchy) === 'cpuset')
      for (const file of ['cpuset.cpus', 'cpuset.mems']) inherit(group, file);
    return group;
  });
}

/** Removes these groups and those below. @returns whether all are gone: processes may still be about to end */
export function removeCgroups(groups: readonly string[]): boolean {
  for (const group of groups) removeTree(group);
  return groups.every((group) => !existsSync(group));
}

function inherit(group: string, file: string): void {
  writeFileSync(join(group, file), readFileSync(join(dirname(group), file)));
}

function removeTree(group: string): void {
  try {
    for (const entry of readdirSync(group, { withFileTypes: true }))
      if (entry.isDirectory()) removeTree(join(group, entry.name));
    rmdirSync(group);
  } catch {
    // Gone already, or in use: the caller looks.
  }
}
