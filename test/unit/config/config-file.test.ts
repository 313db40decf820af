import { describe, expect, test } from 'vitest';
import { FLAGS } from '../../../src/config/flags.ts';
import { resolveOptions } from '../../../src/config/options.ts';
import { resolve, temporaryFile, usage } from './resolve.ts';

describe('the configuration file', () => {
  test('takes strings, numbers, booleans and lists', () => {
    const { flags } = resolve(
      [],
      {},
      { 'ip-masq': true, 'healthz-port': 9090, iface: ['eth0', 'eth1'], v: '3' },
    );
    expect(flags).toMatchObject({ 'ip-masq': true, 'healthz-port': 9090, iface: ['eth0', 'eth1'], v: 3 });
  });

  test.each<[string, string, RegExp]>([
    ['no JSON', '{"ip-masq": tru}', /the configuration file \/.* is not JSON/],
    ['empty', '', /is not JSON/],
    ['a list', '[]', /has to hold one JSON object/],
    ['null', 'null', /has to hold one JSON object/],
    ['a number', '7', /has to hold one JSON object/],
    ['an unknown key', '{"ipmasq": true}', /"ipmasq" in \/.* is not a setting/],
    ['a key with dashes', '{"--ip-masq": true}', /"--ip-masq" in/],
    ['a key every object has', '{"constructor": "x"}', /"constructor" in \/.* is not a setting/],
    ["an object's prototype", '{"__proto__": "x"}', /"__proto__" in \/.* is not a setting/],
    ['a null', '{"ip-masq": null}', /"ip-masq" in \/.* has to be a string, a number/],
    ['an object', '{"iface": {"name": "eth0"}}', /"iface" in/],
    ['a list of lists', '{"iface": [["eth0"]]}', /"iface" in/],
    ['the instance', '{"instance": "lab"}', /"instance" in \/.* is not a setting/],
    ['another file', '{"config-file": "/x"}', /"config-file" in/],
  ])('%s: an error that names file and key', (_what, text, says) => {
    expect(() => resolve([], {}, text)).toThrow(usage(says));
  });

  test('one that is named has to exist; the default one need not', () => {
    const absent = '/nonexistent/corduroyd.json';
    expect(() => resolveOptions({ 'config-file': [absent] }, {})).toThrow(
      usage(/nonexistent.* cannot be read/),
    );
    // No host has the file of an instance of this name.
    expect(resolveOptions({ instance: ['cdytest'] }, {}).names.configFile).toBe(
      '/etc/corduroy/corduroyd-cdytest.json',
    );
  });

  test('the command line names the file before the environment does', () => {
    const path = temporaryFile('{"healthz-port": 1}');
    expect(resolve([`--config-file=${path}`], {}, { 'healthz-port': 2 }).flags['healthz-port']).toBe(1);
  });

  test('warns about a password every user can read', () => {
    const secret = JSON.stringify({ 'etcd-username': 'u', 'etcd-password': 'hunter2' });
    const warningsOf = (text: string, mode: number) =>
      resolveOptions({ 'config-file': [temporaryFile(text, mode)] }, {}).warnings;
    const [warning, ...others] = warningsOf(secret, 0o644);
    expect(warning).toMatch(/holds a password and every user can read it: chmod 600 \//);
    expect(warning).not.toContain('hunter2');
    expect(others).toEqual([]);
    expect(warningsOf(secret, 0o640)).toEqual([]);
    expect(warningsOf('{"ip-masq": true}', 0o644)).toEqual([]);
  });

  test('takes every flag but those that say which file it is (and of two that exclude each other, one)', () => {
    const examples: Record<string, unknown> = {
      'etcd-endpoints': 'https://a:1',
      'etcd-prefix': '/a',
      'etcd-username': 'u',
      'iface-can-reach': '10.0.0.1',
      'public-ip': '10.0.0.1',
      'public-ipv6': 'fd00::1',
      'datapath-engine': 'dgram',
      'healthz-ip': '::1',
      'node-name': 'h1',
      'log-level': 'debug',
      'log-format': 'json',
      'ip-masq-exclude': '192.168.0.0/16',
      docker: 'network',
      'docker-network': 'cdy',
      'cni-network': 'cdy',
      'cni-bridge': 'br8',
      'datapath-unit': 'corduroy-datapath.service',
    };
    const content = Object.fromEntries(
      Object.entries(FLAGS)
        .filter(([name]) => !['instance', 'config-file', 'etcd-password-file'].includes(name))
        .map(([name, { kind }]) => [
          name,
          examples[name] ?? (kind === 'integer' ? 7 : kind === 'boolean' ? true : '/x'),
        ]),
    );
    const { flags } = resolve([], {}, { ...content, bridge: 'br7' });
    expect(flags).toMatchObject({ 'lease-ttl': 7, 'ip-masq': true, 'etcd-keyfile': '/x', bridge: 'br7' });
  });
});
