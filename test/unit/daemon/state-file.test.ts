import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EMPTY_RECORD, readHostRecord, writeHostRecord } from '../../../src/daemon/state-file.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import { temporaryFolder } from './temporary-folder.ts';

const RECORD = {
  version: 1 as const,
  subnetFile: { path: '/run/flannel/subnet.env', content: 'FLANNEL_MTU=1472\n' },
  folders: ['/run/flannel'],
  networks: ['10.5.0.0/16', 'fd00:5::/48'].map(Prefix.parse),
  firewall: { filterTable: true, forwardChain: false },
};

describe('the record of what was put on the host', () => {
  test('is read as it was written, and nobody else may read it', () => {
    const path = join(temporaryFolder(), 'state.json');
    writeHostRecord(path, RECORD);
    expect(readHostRecord(path)).toEqual({ record: RECORD });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('there is none: an empty one, and nothing wrong', () => {
    expect(readHostRecord(join(temporaryFolder(), 'state.json'))).toEqual({ record: EMPTY_RECORD });
  });

  test.each([
    ['an empty file', ''],
    ['half a file', JSON.stringify(RECORD).slice(0, 40)],
    ['no JSON', 'rubbish\n\u0000'],
    ['a list', '[]'],
    ['null', 'null'],
    ['another version', JSON.stringify({ ...RECORD, version: 2 })],
    ['a key that is missing', JSON.stringify({ ...RECORD, folders: undefined })],
    ['a key of another type', JSON.stringify({ ...RECORD, networks: [7] })],
    ['no network', JSON.stringify({ ...RECORD, networks: ['10.5.0.0'] })],
  ])('garbage (%s): an empty one, and a sentence that says so', (_what, text) => {
    const path = join(temporaryFolder(), 'state.json');
    writeFileSync(path, text);
    const { record, problem } = readHostRecord(path);
    expect(record).toEqual(EMPTY_RECORD);
    expect(problem?.startsWith(`${path} cannot be understood and is not used: `)).toBe(true);
  });

  test.each([['rubbish\n'], ['{"version": 2}']])('the sentence is one line for the log: %j', (text) => {
    const path = join(temporaryFolder(), 'state.json');
    writeFileSync(path, text);
    expect(readHostRecord(path).problem).toMatch(/^[^\p{Cc}]+$/u);
  });

  test('keys of a later version are no garbage', () => {
    const path = join(temporaryFolder(), 'state.json');
    writeFileSync(path, JSON.stringify({ ...RECORD, later: true }));
    expect(readHostRecord(path)).toEqual({ record: RECORD });
  });

  test('of an earlier version: the blackhole routes it speaks of are owned still', () => {
    const path = join(temporaryFolder(), 'state.json');
    const { networks: _, ...earlier } = RECORD;
    const blackholes = ['blackhole 10.5.1.0/24 metric 4278198272'];
    writeFileSync(path, JSON.stringify({ ...earlier, blackholes }));
    expect(readHostRecord(path)).toEqual({ record: { ...earlier, networks: [Prefix.parse('10.5.1.0/24')] } });
  });

  test('a folder in its place is an error, not silence', () => {
    const path = join(temporaryFolder(), 'state.json');
    mkdirSync(path);
    expect(() => readHostRecord(path)).toThrow();
  });
});
