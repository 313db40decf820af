import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { founderFiles } from '../../../src/cli/enrolled-host.ts';
import { type Options, resolveOptions } from '../../../src/config/options.ts';
import { temporaryFolder } from '../daemon/temporary-folder.ts';

describe("where etcd's data lies", () => {
  const options = (): Options => {
    const file = join(temporaryFolder(), 'corduroyd.json');
    writeFileSync(file, '{"state-dir": "/srv/corduroy"}');
    return resolveOptions({ 'config-file': [file] }, {});
  };
  /** As if that file were where the services look. */
  const installed = (): Options => {
    const given = options();
    return { ...given, names: { ...given.names, configFile: given.flags['config-file'] ?? '' } };
  };

  test('under systemd where its unit may write, whatever the state-dir of the daemon', () => {
    expect(founderFiles(installed(), true).etcdData).toBe('/var/lib/corduroy/etcd');
  });

  test('else in the state-dir', () => {
    expect(founderFiles(installed(), false).etcdData).toBe('/srv/corduroy/etcd');
    expect(founderFiles(options(), true).etcdData).toBe('/srv/corduroy/etcd');
  });
});
