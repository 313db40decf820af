import { describe } from 'vitest';
import { describeDatapath } from './datapath-contract.ts';
import { nativeHarness } from './harness.ts';
import { describePath } from './path-contract.ts';

describe('the native engine', () => {
  describeDatapath(nativeHarness);
  // node:dgram has none of it: no path MTU, no traffic class, no segmented sends, one queue.
  describePath(nativeHarness);
});
