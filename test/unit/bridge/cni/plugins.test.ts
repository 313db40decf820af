import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { missingPlugins } from '../../../../src/bridge/cni/plugins.ts';
import { temporaryFolder } from '../../daemon/temporary-folder.ts';

test('plugins may be in several folders; those that are in none are named, with the package', () => {
  const root = temporaryFolder();
  const folders = ['one', 'other'].map((name) => join(root, name));
  for (const folder of folders) mkdirSync(folder);
  const [one = '', other = ''] = folders;
  expect(missingPlugins(folders)).toMatch(
    /: bridge, host-local, portmap\. .* apt-get install containernetworking-plugins$/,
  );
  for (const name of ['bridge', 'host-local']) writeFileSync(join(one, name), '');
  expect(missingPlugins(folders)).toMatch(/: portmap\. /);
  writeFileSync(join(other, 'portmap'), '');
  expect(missingPlugins(folders)).toBeUndefined();
});
