import { describe } from 'vitest';
import { describeDatapath } from './datapath-contract.ts';
import { dgramHarness } from './harness.ts';

describe('the dgram engine', () => describeDatapath(dgramHarness));
