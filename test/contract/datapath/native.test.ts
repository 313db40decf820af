import { describe } from 'vitest';
import { describeDatapath } from './datapath-contract.ts';
import { nativeHarness } from './harness.ts';

describe('the native engine', () => describeDatapath(nativeHarness));
