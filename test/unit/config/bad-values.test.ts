import { describe, expect, test } from 'vitest';
import { resolve, usage } from './resolve.ts';

describe('a bad value is an error that names flag, value and rule', () => {
  test.each<[string, RegExp]>([
    ['--etcd-endpoints=10.0.0.1:2379', /--etcd-endpoints is "10\.0\.0\.1:2379": .*http\(s\):\/\/HOST:PORT/],
    ['--etcd-endpoints=http://a:1,ftp://b:1', /"ftp:\/\/b:1"/],
    ['--etcd-endpoints=http://a:1/v2', /"http:\/\/a:1\/v2"/],
    ['--etcd-endpoints=,', /--etcd-endpoints is empty/],
    ['--etcd-prefix=network', /--etcd-prefix is "network": it starts with \//],
    ['--etcd-prefix=/', /--etcd-prefix is "\/": .*names a key below it/],
    ['--etcd-prefix=//', /--etcd-prefix is "\/\/": .*names a key below it/],
    ['--etcd-cafile=', /--etcd-cafile is empty/],
    ['--iface-regex=(', /--iface-regex is "\(": /],
    ['--iface-can-reach=etcd.example', /--iface-can-reach is "etcd\.example": .*IP address/],
    ['--public-ip=fd00::1', /--public-ip is "fd00::1": .*IPv4 address/],
    ['--public-ip=10.0.0.1/24', /--public-ip is "10\.0\.0\.1\/24"/],
    ['--public-ipv6=10.0.0.1', /--public-ipv6 is "10\.0\.0\.1": .*IPv6 address/],
    ['--subnet-file=subnet.env', /--subnet-file is "subnet\.env": .*absolute path/],
    ['--subnet-lease-renew-margin=0', /--subnet-lease-renew-margin is "0"; .* from 1 to 1439/],
    ['--subnet-lease-renew-margin=1440', /from 1 to 1439/],
    ['--subnet-lease-renew-margin=1h', /--subnet-lease-renew-margin is "1h"/],
    ['--lease-ttl=4', /--lease-ttl is "4"; .* from 5 to/],
    ['--lease-ttl=1e9', /--lease-ttl is "1e9"/],
    ['--lease-ttl=99999999999999999999', /--lease-ttl is "99999999999999999999"/],
    ['--ip-masq=yes', /--ip-masq is "yes"; it is true or false/],
    ['--ip-masq=', /--ip-masq is ""; it is true or false/],
    ['--iptables-resync=0', /--iptables-resync is "0"; .* from 1 to 3600/],
    ['--iptables-resync=-5', /--iptables-resync is "-5"/],
    ['--iptables-resync=1.5', /--iptables-resync is "1\.5"/],
    ['--datapath-engine=C', /--datapath-engine is "C"; it is one of native, dgram/],
    ['--datapath-engine=', /--datapath-engine is empty/],
    ['--datapath-offload=on', /--datapath-offload is "on"; it is true or false/],
    ['--datapath-queues=0', /--datapath-queues is "0"; .* from 1 to 16/],
    ['--datapath-queues=17', /--datapath-queues is "17"/],
    ['--healthz-ip=localhost', /--healthz-ip is "localhost": .*IP address/],
    ['--healthz-port=65536', /--healthz-port is "65536"; .* from 0 to 65535/],
    ['--bridge=a-name-too-long1', /--bridge is "a-name-too-long1": a link name has 1 to 15 characters/],
    ['--bridge=a/b', /--bridge is "a\/b"/],
    ['--bridge=..', /--bridge is "\.\."/],
    ['--bridge=a b', /--bridge is "a b"/],
    ['--run-dir=run', /--run-dir is "run": .*absolute path/],
    [`--run-dir=/${'x'.repeat(80)}`, /--run-dir is .*80 characters/],
    ['--instance=Lab', /--instance is "Lab": 1 to 10 of the characters a-z and 0-9/],
    ['--instance=abcdefghijk', /--instance is "abcdefghijk"/],
    ['--instance=etcd', /--instance is "etcd": .* and not etcd/],
    ['--instance=../x', /--instance is "\.\.\/x"/],
    ['--log-level=trace', /--log-level is "trace"; it is one of debug, info, warn, error/],
    ['--log-format=xml', /--log-format is "xml"; it is one of text, json/],
    ['-v=11', /-v is "11"; .* from 0 to 10/],
  ])('%s', (argument, says) => {
    expect(() => resolve([argument])).toThrow(usage(says));
  });

  test.each([
    ['--bridge=a-name-too-long'],
    ['--instance=abcdefghij'],
    ['--instance=etcd2'],
    ['--subnet-lease-renew-margin=1439'],
    ['--lease-ttl=5'],
    ['--datapath-engine=dgram'],
    ['--datapath-queues=16'],
    ['--etcd-endpoints=http://[::1]:2379/'],
    ['--ip-masq=T'],
    ['--ip-masq=0'],
  ])('%s is just right', (argument) => {
    expect(() => resolve([argument])).not.toThrow();
  });

  test.each<[NodeJS.ProcessEnv, object, RegExp]>([
    [{ CORDUROYD_HEALTHZ_PORT: 'x' }, {}, /^CORDUROYD_HEALTHZ_PORT is "x"/],
    [{ FLANNELD_PUBLIC_IP: 'x' }, {}, /^FLANNELD_PUBLIC_IP is "x"/],
    [{}, { 'ip-masq': 'maybe' }, /^"ip-masq" in \/.*file\.json is "maybe"/],
    [{}, { 'healthz-port': 1.5 }, /^"healthz-port" in \/.*file\.json is "1\.5"/],
    [{ CORDUROYD_INSTANCE: 'Lab' }, {}, /^CORDUROYD_INSTANCE is "Lab"/],
  ])('the variable or key at fault is named: %o %o', (environment, file, says) => {
    expect(() => resolve([], environment, file)).toThrow(usage(says));
  });

  test('a value that is not used any more is not looked at', () => {
    expect(resolve(['--public-ip=192.0.2.1'], { FLANNELD_PUBLIC_IP: 'rubbish' }).flags['public-ip']).toBe(
      '192.0.2.1',
    );
  });
});

describe('flags that contradict each other', () => {
  const https = '--etcd-endpoints=https://a:1';
  test.each<[string, string[], RegExp]>([
    [
      'a certificate without its key',
      [https, '--etcd-certfile=/c'],
      /--etcd-certfile .* without --etcd-keyfile/,
    ],
    [
      'a key without its certificate',
      [https, '--etcd-keyfile=/k'],
      /--etcd-keyfile .* without --etcd-certfile/,
    ],
    ['a user without a password', ['--etcd-username=u'], /--etcd-username .* without --etcd-password/],
    ['a password without a user', ['--etcd-password=p'], /--etcd-password .* without --etcd-username/],
    ['http and https', ['--etcd-endpoints=http://a:1,https://b:1'], /--etcd-endpoints mixes http and https/],
    ['a CA without TLS', ['--etcd-cafile=/c'], /--etcd-cafile asks for TLS, but --etcd-endpoints has http:/],
    [
      'a certificate without TLS',
      ['--etcd-certfile=/c', '--etcd-keyfile=/k'],
      /--etcd-certfile asks for TLS, but --etcd-endpoints/,
    ],
    ['a bridge named as the tunnel', ['--bridge=corduroy0'], /--bridge corduroy0 is the name of the tunnel/],
    [
      "a bridge named as the instance's tunnel",
      ['--bridge=cdy-a', '--instance=a'],
      /--bridge cdy-a is the name/,
    ],
  ])('%s', (_what, argv, says) => {
    expect(() => resolve(argv)).toThrow(usage(says));
  });

  test('they contradict each other wherever they come from', () => {
    expect(() => resolve([], { FLANNELD_ETCD_USERNAME: 'u' })).toThrow(usage(/without --etcd-password/));
    expect(resolve(['--etcd-password=p'], { FLANNELD_ETCD_USERNAME: 'u' }, {}).flags['etcd-username']).toBe(
      'u',
    );
  });
});

describe('secrets never show', () => {
  const messageOf = (act: () => unknown): string => {
    try {
      act();
    } catch (error) {
      return String(error);
    }
    throw new Error('nothing was thrown');
  };

  test.each<[string, () => unknown]>([
    ['a password without a user', () => resolve(['--etcd-password=hunter2'])],
    ['a password of the wrong type', () => resolve([], {}, { 'etcd-password': { is: 'hunter2' } })],
    ['a password without its quotes', () => resolve([], {}, '{"etcd-password": hunter2}')],
    ['a password in an endpoint', () => resolve(['--etcd-endpoints=http://root:hunter2@etcd:2379'])],
  ])('%s', (_what, act) => {
    expect(messageOf(act)).toMatch(/etcd-|file\.json/);
    expect(messageOf(act)).not.toContain('hunter2');
  });
});
