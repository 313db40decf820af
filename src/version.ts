import { createRequire } from 'node:module';

/** The version in package.json, which lies beside `dist/` and `src/` alike. */
export const VERSION: string = (createRequire(import.meta.url)('../package.json') as { version: string })
  .version;
