import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { labFolder } from '../../src/lab/topology.ts';
import type { TestLab } from './lab.ts';

/** Whether the old iptables works here: its rules are where nft cannot see them. */
export function hasLegacyIptables(): boolean {
  return spawnSync('iptables-legacy', ['-S', 'FORWARD']).status === 0;
}

/** A PATH for a daemon, on which iptables is the old one. */
export function legacyPath({ lab }: TestLab): string {
  const folder = join(labFolder(lab.spec.name), 'legacy');
  mkdirSync(folder, { recursive: true });
  // The programs are one, which goes by the name it is called by.
  for (const suffix of ['', '-save', '-restore'])
    symlinkSync('/usr/sbin/xtables-legacy-multi', join(folder, `iptables${suffix}`));
  return `${folder}:${lab.environment().PATH}`;
}
