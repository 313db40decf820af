import type { Entry } from '../store/store.ts';
import { corduroyFolder } from './node-record.ts';

/**
 * Says that hosts are to take up a network config even where it takes their subnets away: the one that was written in the
 * same transaction. So only who may write the config can say it, and it says nothing of whatever is written afterwards.
 *
 *     key    {prefix}/corduroy/forced-config
 *     value  {}
 */
export function forcedConfigKey(prefix: string): string {
  return `${corduroyFolder(prefix)}forced-config`;
}

export const FORCED_MARK = '{}';

/** @param config the network config. @param mark under `forcedConfigKey` */
export function isForcedConfig(config: Entry | undefined, mark: Entry | undefined): boolean {
  return config !== undefined && config.modRevision === mark?.modRevision;
}
