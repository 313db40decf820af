import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hardwareText, readNodeId } from '../../../src/host/identity.ts';

const MACHINE_ID = 'f5f8a3c1b2d44c0e9a7d6e5f40312217';

describe('readNodeId', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'corduroy-identity-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const nodeIdFile = () => join(folder, 'state', 'node-id');
  const read = (machineId: string | undefined, instance = '') => {
    const machineIdFile = join(folder, 'machine-id');
    rmSync(machineIdFile, { force: true });
    if (machineId !== undefined) writeFileSync(machineIdFile, machineId);
    return readNodeId({ machineIdFile, nodeIdFile: nodeIdFile(), instance });
  };

  test('follows from the machine-id, which it does not show', () => {
    const { id, remark } = read(`${MACHINE_ID}\n`);
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(id).not.toBe(MACHINE_ID);
    expect(remark).toBeUndefined();
    expect(read(MACHINE_ID).id).toBe(id);
  });

  // The id is in etcd: another one after an upgrade would make every host a stranger to its own lease.
  test('is the same in every version of the program', () => {
    expect(read(MACHINE_ID).id).toBe('91f4c568bbf56d631bb69d0a347bfba0');
  });

  test('is another one for another machine, and for another instance', () => {
    const ids = [
      read(MACHINE_ID),
      read(MACHINE_ID.replace('f', '0')),
      read(MACHINE_ID, 'a'),
      read(MACHINE_ID, 'b'),
    ].map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
  });

  test.each([
    ['is missing', undefined],
    ['is empty', ''],
    ['is of an image that was never booted', 'uninitialized\n'],
    ['is malformed', MACHINE_ID.slice(1)],
  ])('is made up once, and kept, when the machine-id %s', (_what, machineId) => {
    const { id, remark } = read(machineId);
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(remark).toContain(join(folder, 'machine-id'));
    expect(remark).toContain(nodeIdFile());
    expect(read(machineId).id).toBe(id);
    expect(statSync(nodeIdFile()).mode & 0o777).toBe(0o600);
  });

  test('is never the same made-up one on two machines', () => {
    const { id } = read(undefined);
    rmSync(nodeIdFile());
    expect(read(undefined).id).not.toBe(id);
  });

  test('is made up anew when what was kept is damaged', () => {
    read(undefined);
    chmodSync(nodeIdFile(), 0o600);
    writeFileSync(nodeIdFile(), 'half an i');
    const { id } = read(undefined);
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(readFileSync(nodeIdFile(), 'utf8')).toBe(`${id}\n`);
  });
});

describe('hardwareText', () => {
  test('differs between machines of one disk, and not by how an address is written', () => {
    const text = hardwareText('52:54:00:12:34:ab', 'uuid');
    expect(text).toMatch(/^[0-9a-f]{16}$/);
    expect(hardwareText('52:54:00:12:34:AB', 'uuid')).toBe(text);
    expect(hardwareText('52:54:00:12:34:ac', 'uuid')).not.toBe(text);
    expect(hardwareText('52:54:00:12:34:ab', 'other')).not.toBe(text);
  });
});
