import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** A package of others that Corduroy needs at run time, and so installs. */
export interface Module {
  /** From the project's folder: `node_modules/pino`. */
  readonly path: string;
  readonly version: string;
  /** As npm names licences: `MIT`. */
  readonly license: string;
  /** Its files that are needed, from its own folder. */
  readonly files: readonly string[];
}

/** What of package-lock.json is read. */
interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly license?: string; readonly dev?: true }>
  >;
}

/**
 * The modules that are installed along with the programs. One that holds types alone is none.
 *
 * @param project the folder with package-lock.json and node_modules
 * @throws Error when one is missing there
 */
export function productionModules(project: string): Module[] {
  const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as Lock;
  return Object.entries(lock.packages).flatMap(([path, { version = '', license = '', dev }]) => {
    if (path === '' || dev) return [];
    const files = filesBelow(join(project, path)).filter(isNeeded);
    return files.some(isCode) ? [{ path, version, license, files }] : [];
  });
}

/** Folders and files of a package that nobody loads who uses it as a module: its tests, its commands. */
const NOT_LOADED =
  /^((build\/)?bin|tests?|docs?|examples?|bench(marks?)?|fixtures?|coverage|scripts)\/|^((bin|test|example|bench|benchmark)\.js|\w+\.config\.\w+|tsconfig.*\.json)$/;

/** Whether a file of a package is needed to run it, or has to go with it by its licence. */
export function isNeeded(file: string): boolean {
  if (NOT_LOADED.test(file)) return false;
  return isCode(file) || isLicense(file) || /\.(json|proto)$/.test(file);
}

export function isLicense(file: string): boolean {
  return /^(licen[cs]e|copying|notice)[^/]*$/i.test(file);
}

function isCode(file: string): boolean {
  return /\.([cm]?js|node|wasm)$/.test(file);
}

/** All files below a folder, but those of the packages in its node_modules, which the lock file names by themselves. */
function filesBelow(folder: string, prefix = ''): string[] {
  return readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(prefix, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesBelow(folder, path);
    return entry.isFile() ? [path] : [];
  });
}
