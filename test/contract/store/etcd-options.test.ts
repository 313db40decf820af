import { describe, expect, test } from 'vitest';
import { Backoff } from '../../../src/store/etcd/backoff.ts';
import { parseEndpoints, type TlsOptions } from '../../../src/store/etcd/options.ts';
import { prefixRange } from '../../../src/store/etcd/wire.ts';

describe('endpoints of etcd', () => {
  test.each([
    ['http://10.0.0.1:2379', 'http://10.0.0.1:2379'],
    ['http://10.0.0.1:2379/', 'http://10.0.0.1:2379'],
    ['10.0.0.1', 'http://10.0.0.1:2379'],
    ['etcd.example:4001', 'http://etcd.example:4001'],
    ['http://etcd:80', 'http://etcd:80'],
    ['[fd00::1]:2379', 'http://[fd00::1]:2379'],
    ['https://etcd', 'https://etcd:2379'],
    ['https://etcd:443/', 'https://etcd:443'],
  ])('%s is taken as %s', (endpoint, url) => {
    expect(parseEndpoints({ endpoints: [endpoint] }).urls).toEqual([url]);
  });

  test('without a scheme, certificates mean https', () => {
    const tls = { ca: Buffer.from('pem') };
    expect(parseEndpoints({ endpoints: ['a', 'https://b:1'], tls })).toEqual({
      urls: ['https://a:2379', 'https://b:1'],
      secure: true,
    });
  });

  test.each<[string, readonly string[], TlsOptions?]>([
    ['none', []],
    ['an empty one', ['']],
    ['another scheme', ['unix:///run/etcd.sock']],
    ['a path', ['http://etcd:2379/v2']],
    ['mixed schemes', ['http://a', 'https://b']],
    ['certificates with http', ['http://a'], { ca: Buffer.from('pem') }],
    ['half a client certificate', ['https://a'], { cert: Buffer.from('pem') }],
  ])('refuses %s', (_what, endpoints, tls) => {
    expect(() => parseEndpoints({ endpoints, tls })).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  test.each([
    'http://user:hunter2@etcd:2379',
    'user:hunter2@etcd',
    'ftp://user:hunter2@',
    'x y:hunter2@etcd',
  ])('refuses %s without repeating the password', (endpoint) => {
    let message = '';
    try {
      parseEndpoints({ endpoints: [endpoint] });
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain('endpoint');
    expect(message).not.toContain('hunter2');
  });
});

describe('the range of a prefix', () => {
  test.each([
    ['61', '61', '62'],
    ['612f', '612f', '6130'],
    ['61ff', '61ff', '62'],
    ['61feff', '61feff', '61ff'],
    ['ffff', 'ffff', '00'],
    ['', '00', '00'],
  ])('of %s begins at %s and ends before %s', (prefix, key, end) => {
    const range = prefixRange(Buffer.from(prefix, 'hex'));
    expect([range.key.toString('hex'), range.range_end.toString('hex')]).toEqual([key, end]);
  });
});

describe('the pause between two tries', () => {
  const options = { minMs: 200, maxMs: 5000, firstMaxMs: 500 };

  test('doubles up to the ceiling, and starts over after a reset', () => {
    const backoff = new Backoff(options, () => 1);
    expect([1, 2, 3, 4, 5, 6, 7].map(() => backoff.next(5000))).toEqual([
      200, 400, 800, 1600, 3200, 5000, 5000,
    ]);
    backoff.reset();
    expect(backoff.next(5000)).toBe(200);
  });

  test('is at least half of that, however the dice fall, and finite after years', () => {
    const backoff = new Backoff(options, () => 0);
    expect([1, 2].map(() => backoff.next(5000))).toEqual([100, 200]);
    for (let i = 0; i < 5000; i++) backoff.next(5000);
    expect(backoff.next(5000)).toBe(2500);
  });
});
