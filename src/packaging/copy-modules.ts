import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { productionModules } from './modules.ts';

/** node copy-modules.js FOLDER: copies what Corduroy needs of node_modules into FOLDER/node_modules. */
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node copy-modules.js FOLDER, in the project folder');

for (const { path, files } of productionModules('.')) {
  for (const file of files) {
    const target = join(folder, path, file);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(path, file), target);
    // They are loaded, not started.
    chmodSync(target, 0o644);
  }
}
