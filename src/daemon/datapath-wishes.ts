import type { DatapathWishes } from '../backend/backend.ts';
import type { FlagValues } from '../config/flags.ts';
import { ENGINES } from '../datapath/datapath.ts';

/** What the flags say about the data plane. */
export function datapathWishes(flags: FlagValues): DatapathWishes {
  return {
    engine: ENGINES.find((name) => name === flags['datapath-engine']),
    offload: flags['datapath-offload'],
    queues: flags['datapath-queues'],
  };
}
