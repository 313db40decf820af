import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { corduroydCommand } from '../cli/corduroyd-command.ts';
import { corduroyProgram } from '../cli/program.ts';
import { configFilePage, corduroydPage, corduroyPage } from './manual.ts';

/** node write-manual.js FOLDER: writes the manual pages under it, as `man1/corduroy.1` and so on. */
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node write-manual.js FOLDER');

const pages = {
  'man1/corduroy.1': corduroyPage(corduroyProgram()),
  'man8/corduroyd.8': corduroydPage(corduroydCommand()),
  'man5/corduroyd.json.5': configFilePage(),
};
for (const [name, text] of Object.entries(pages)) {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
