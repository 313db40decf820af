import { createHash } from 'node:crypto';
import { corduroyFolder } from './node-record.ts';

/**
 * Says of one network config, by its bytes, that hosts are to take it up even where it takes their subnets away. It is
 * written in one transaction with that config; whoever writes another one leaves it behind, and it says nothing of that.
 *
 *     key    {prefix}/corduroy/forced-config
 *     value  {"sha256":"9f86d0…"}
 */
export function forcedConfigKey(prefix: string): string {
  return `${corduroyFolder(prefix)}forced-config`;
}

/** @param config the text of the network config */
export function formatForcedConfig(config: string): string {
  return JSON.stringify({ sha256: createHash('sha256').update(config).digest('hex') });
}

/** @param value under that key, if there is one: only what `formatForcedConfig` writes means anything */
export function isForcedConfig(config: string, value: string | undefined): boolean {
  return value === formatForcedConfig(config);
}
