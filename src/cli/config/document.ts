import { readFileSync } from 'node:fs';
import { checkBackend } from '../../backend/registry.ts';
import { type NetworkConfig, networkConfigError, parseNetworkConfig } from '../../config/network-config.ts';
import { CorduroyError, messageOf } from '../../errors.ts';
import { note } from '../context.ts';

/** Of `--help`. */
export const DOCUMENT = `
DOCUMENT is the JSON itself, @FILE, or - for standard input.`;

/** @throws CorduroyError `usage` */
export function readDocument(source: string): string {
  const path = source === '-' ? 0 : source.startsWith('@') ? source.slice(1) : undefined;
  if (path === undefined) return source;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CorduroyError('usage', `${source} cannot be read: ${messageOf(error)}`);
  }
}

/** @throws CorduroyError `network-config` naming every rule that is broken; warns about unknown keys */
export function checkDocument(text: string): NetworkConfig {
  const { config, problems, unknownKeys } = examineConfig(text);
  if (unknownKeys.length > 0)
    note(`corduroy: ignored, since they mean nothing here: ${unknownKeys.join(', ')}`);
  if (config === undefined || problems.length > 0) throw networkConfigError('the network config', problems);
  return config;
}

/** What is wrong with a document, as far as the network and its backend are concerned. */
export function examineConfig(text: string) {
  const { value: config, problems, unknownKeys } = parseNetworkConfig(text);
  if (config === undefined) return { config, problems, unknownKeys };
  const backend = checkBackend(config);
  return { config, problems: backend.problems, unknownKeys: [...unknownKeys, ...backend.unknownKeys] };
}
