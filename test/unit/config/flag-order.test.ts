import { describe, expect, test } from 'vitest';
import { FLAGS, type FlagName } from '../../../src/config/flags.ts';
import { resolve } from './resolve.ts';

const variable = (prefix: string, flag: string) => `${prefix}_${flag.toUpperCase().replaceAll('-', '_')}`;

/** Values for: command line, CORDUROYD_*, FLANNELD_*, file. */
const CASES: [FlagName, [unknown, unknown, unknown, unknown]][] = [
  ['etcd-prefix', ['/a', '/b', '/c', '/d']],
  ['subnet-lease-renew-margin', [1, 2, 3, 4]],
  ['ip-masq', [true, false, true, false]],
  ['iptables-forward-rules', [false, true, false, true]],
  ['public-ip', ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4']],
  ['etcd-endpoints', [['http://a:1', 'http://b:1'], ['http://c:1'], ['http://d:1'], ['http://e:1']]],
  ['iface', [['a', 'b'], ['c'], ['d'], ['e', 'f']]],
  ['iface-regex', [['a{1,2}'], ['b'], ['c'], ['d']]],
];

describe('where a flag gets its value from', () => {
  test.each(CASES)('--%s: command line, CORDUROYD_*, FLANNELD_*, file, default', (flag, values) => {
    const [given, corduroyd, flanneld, file] = values;
    for (let first = 0; first <= 4; first++) {
      const options = resolve(
        first === 0 ? [`--${flag}=${given}`] : [],
        {
          ...(first <= 1 && { [variable('CORDUROYD', flag)]: String(corduroyd) }),
          ...(first <= 2 && { [variable('FLANNELD', flag)]: String(flanneld) }),
        },
        first <= 3 ? { [flag]: file } : {},
      );
      const otherwise = 'default' in FLAGS[flag] ? FLAGS[flag].default : Array.isArray(file) ? [] : undefined;
      expect(options.flags[flag]).toEqual(first === 4 ? otherwise : values[first]);
    }
  });

  test("flannel's defaults, but for the pause between comparisons", () => {
    const { flags, subnetFile, runDir, warnings } = resolve([]);
    expect(flags).toMatchObject({
      'etcd-endpoints': ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'],
      'etcd-prefix': '/coreos.com/network',
      'subnet-lease-renew-margin': 60,
      'lease-ttl': 86_400,
      'ip-masq': false,
      'iptables-resync': 30,
      'iptables-forward-rules': true,
      'healthz-ip': '127.0.0.1',
      'healthz-port': 0,
    });
    expect([subnetFile, runDir]).toEqual(['/run/flannel/subnet.env', '/run/corduroy']);
    expect(warnings).toEqual([]);
  });

  test('the last of several values counts; lists take them all', () => {
    const { flags } = resolve(['--etcd-prefix=/a', '--etcd-prefix=/b', '--iface=a,b', '--iface', 'c']);
    expect(flags['etcd-prefix']).toBe('/b');
    expect(flags.iface).toEqual(['a', 'b', 'c']);
  });

  test('a comma is a part of a regular expression, and separates in other lists', () => {
    const { flags } = resolve(['--iface-regex=^eth[0-9]{1,2}$', '--iface-regex=^10\\.'], {
      FLANNELD_IFACE: 'eth0, eth1,',
    });
    expect(flags['iface-regex']).toEqual(['^eth[0-9]{1,2}$', '^10\\.']);
    expect(flags.iface).toEqual(['eth0', 'eth1']);
  });

  test('an empty environment variable counts as not set, as in flannel', () => {
    const { flags } = resolve([], {
      FLANNELD_ETCD_CAFILE: '',
      FLANNELD_ETCD_PREFIX: '',
      FLANNELD_IP_MASQ: '',
    });
    expect(flags).toMatchObject({ 'etcd-prefix': '/coreos.com/network', 'ip-masq': false });
    expect(flags['etcd-cafile']).toBeUndefined();
  });

  test('-v above 0 means debug, unless a log level is given', () => {
    expect(resolve([]).flags['log-level']).toBe('info');
    expect(resolve(['-v=1']).flags['log-level']).toBe('debug');
    expect(resolve(['-v=0']).flags['log-level']).toBe('info');
    expect(resolve(['-v=1'], { CORDUROYD_LOG_LEVEL: 'warn' }).flags['log-level']).toBe('warn');
  });

  test('folders and files that are given win over those of the instance', () => {
    const options = resolve(['--instance=lab', '--run-dir=/tmp/x', '--subnet-file=/tmp/y']);
    expect([options.runDir, options.subnetFile, options.names.devices.tun]).toEqual([
      '/tmp/x',
      '/tmp/y',
      'cdy-lab',
    ]);
    const own = resolve([], { CORDUROYD_INSTANCE: 'lab' });
    expect([own.runDir, own.subnetFile]).toEqual(['/run/corduroy-lab', '/run/flannel/subnet-lab.env']);
  });
});

describe('warnings', () => {
  test('a CORDUROYD_ variable that belongs to no flag is named; others of the environment are nobody’s business', () => {
    const { warnings } = resolve([], { CORDUROYD_ETCD_ENDPOINT: 'x', FLANNELD_KUBE: 'x', HOME: '/' });
    expect(warnings).toEqual([expect.stringContaining('CORDUROYD_ETCD_ENDPOINT ')]);
  });

  test('--net-config-path has no effect', () => {
    expect(resolve(['--net-config-path=/x']).warnings).toEqual([
      expect.stringContaining('--net-config-path'),
    ]);
  });
});
