import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLicense, type Module, productionModules } from './modules.ts';

/**
 * node write-copyright.js: prints the Debian package's copyright file
 * (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/), with the licence of every module in it.
 */
const APACHE = `License: Apache-2.0
 On Debian systems, the text of the Apache License, version 2.0, is in /usr/share/common-licenses/Apache-2.0.`;

process.stdout.write(
  `${[
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: corduroy',
    'Files: *\nCopyright: the authors of Corduroy\nLicense: Apache-2.0',
    ...productionModules('.').map(paragraph),
    APACHE,
  ].join('\n\n')}\n`,
);

function paragraph(module: Module): string {
  const { path, license, files } = module;
  const name = path.replace(/.*node_modules\//, '');
  const text = files
    .filter(isLicense)
    .map((file) => readFileSync(join(path, file), 'utf8'))
    .join('\n');
  const head = `Files: usr/lib/corduroy/${path}/*\nCopyright: ${holders(module, text).join('\n ')}`;
  if (license === 'Apache-2.0') return `${head}\nLicense: Apache-2.0`;
  // One name a text: these differ in their holders.
  const lines = (
    text === '' ? `${license}, see the package ${name} ${module.version}, which comes without a text` : text
  )
    .trim()
    .split(/\r?\n/);
  return `${head}\nLicense: ${license}-${name.replace(/[^\w.-]/g, '_')}\n${lines.map((line) => ` ${line.trim() || '.'}`).join('\n')}`;
}

function holders({ path, license }: Module, text: string): string[] {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const named = license === 'Apache-2.0' ? [] : lines.filter((line) => /^copyright\b.*\d/i.test(line));
  if (named.length > 0) return named.map((line) => line.replace(/^copyright\s*(\(c\)|©)?:?\s*/i, ''));
  const { author } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as { author?: unknown };
  const name = typeof author === 'object' && author !== null && 'name' in author ? author.name : author;
  return [typeof name === 'string' && name !== '' ? name : 'its authors'];
}
