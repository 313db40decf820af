import { describe, expect, test } from 'vitest';
import { createLog } from '../../../../src/datapath/dgram/log.ts';
import { unprivilegedAccount } from '../../../../src/datapath/dgram/privileges.ts';
import { TokenBucket } from '../../../../src/datapath/dgram/token-bucket.ts';

describe('TokenBucket', () => {
  test('a burst, then the rate, and never more than a burst saved up', () => {
    let now = 0;
    const bucket = new TokenBucket(10, 3, () => now);
    const taken = () => Array.from({ length: 10 }, () => bucket.take()).filter(Boolean).length;
    expect(taken()).toBe(3);
    now = 99;
    expect(taken()).toBe(0);
    now = 100;
    expect(taken()).toBe(1);
    now = 350;
    expect(taken()).toBe(2);
    now = 1_000_000;
    expect(taken()).toBe(3);
  });
});

describe('unprivilegedAccount', () => {
  const root = 'root:x:0:0:root:/root:/bin/bash';
  const nobody = 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin';

  test('corduroy before nobody, in any order', () => {
    const own = { name: 'corduroy', uid: 998, gid: 997 };
    const line = 'corduroy:x:998:997::/:/usr/sbin/nologin';
    expect(unprivilegedAccount([root, nobody, line].join('\n'))).toEqual(own);
    expect(unprivilegedAccount([line, nobody].join('\n'))).toEqual(own);
    expect(unprivilegedAccount([root, nobody, ''].join('\n'))?.name).toBe('nobody');
  });

  test.each([
    ['nobody there', root],
    ['a uid of root', 'corduroy:x:0:997::/:'],
    ['a gid of root', 'nobody:x:998:0::/:'],
    ['a uid of root in other words', 'corduroy:x:00:1::/:'],
    ['a line that is cut', 'corduroy:x:998'],
    ['nothing', ''],
  ])('%s: none', (_what, passwd) => {
    expect(unprivilegedAccount(passwd)).toBeUndefined();
  });
});

test('createLog: the time, the program, and what is said once is said once', () => {
  const lines: string[] = [];
  const log = createLog(
    (line) => lines.push(line),
    () => new Date('2025-01-02T03:04:05.678Z'),
  );
  log.info('idle');
  log.once('a', 'first');
  log.once('a', 'second');
  log.once('b', 'other');
  expect(lines).toHaveLength(3);
  expect(lines[0]).toBe(`2025-01-02T03:04:05.678Z corduroy-datapath-dgram[${process.pid}]: idle\n`);
  expect(lines.slice(1).join()).toMatch(/first.*other/s);
});
