import { expect, test } from 'vitest';
import { isNeeded, productionModules } from '../../../src/packaging/modules.ts';

test.each<[file: string, needed: boolean]>([
  ['package.json', true],
  ['index.js', true],
  ['dist/esm/index.mjs', true],
  ['build/protos/channelz.proto', true],
  ['LICENSE', true],
  ['LICENSE.md', true],
  ['dist/doc/node.js', true],
  ['README.md', false],
  ['index.d.ts', false],
  ['index.js.map', false],
  ['src/index.ts', false],
  ['test/index.js', false],
  ['docs/api.json', false],
  ['eslint.config.js', false],
  ['tsconfig.json', false],
  ['bin.js', false],
  ['build/bin/generate.js', false],
])('%s: %s', (file, needed) => {
  expect(isNeeded(file)).toBe(needed);
});

test('what runs is installed, and what only builds and tests is not', () => {
  const names = productionModules('.').map(({ path }) => path.replace('node_modules/', ''));
  expect(names).toEqual(
    expect.arrayContaining(['commander', 'etcd3', 'ip-cidr', 'pino', 'pino-pretty', 'zod']),
  );
  // The types of Node.js come with a module that runs.
  for (const name of ['vitest', 'typescript', '@types/node']) expect(names).not.toContain(name);
});
