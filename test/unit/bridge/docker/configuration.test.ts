import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bringIn,
  type Configuration,
  configurationDifference,
  recordSchema,
  takeBack,
} from '../../../../src/bridge/docker/configuration.ts';

const PATHS = { dropIn: '/drop-in', daemonJson: '/daemon.json', settings: '/corduroyd.json' };
const OWN = '# Written by corduroy docker configure; corduroy docker unconfigure removes it.\n[Unit]\n';
const KEYS = { bip: '10.5.72.1/24', mtu: 1472, 'ip-masq': false };
const bring = (now: Configuration, wish: Parameters<typeof bringIn>[1]) => {
  const { next, record } = bringIn(now, wish, PATHS.daemonJson);
  // As it comes back from disk.
  return { next, record: recordSchema.parse(JSON.parse(JSON.stringify(record))) };
};
const NOTHING: Configuration = { dropIn: undefined, daemonJson: undefined, settings: {} };

describe('what configure brings in, unconfigure takes back', () => {
  const members = fc.dictionary(fc.constantFrom('bip', 'mtu', 'dns', 'debug', 'ip-masq'), fc.jsonValue());
  const configurations = fc.record({
    dropIn: fc.option(fc.constantFrom('[Service]\n', OWN), { nil: undefined }),
    daemonJson: fc.option(
      members.map((value) => JSON.stringify(value, undefined, 4)),
      { nil: undefined },
    ),
    settings: fc.dictionary(
      fc.constantFrom('docker', 'ip-masq', 'iface'),
      fc.constantFrom('off', true, false),
    ),
  });

  test('whatever was there before', () => {
    fc.assert(
      fc.property(configurations, fc.boolean(), fc.boolean(), (now, withDropIn, withJson) => {
        const { next, record } = bring(now, {
          settings: { docker: 'options', 'ip-masq': true },
          ...(withDropIn && { dropIn: `${OWN}x` }),
          ...(withJson && { daemonJson: KEYS }),
        });
        const back = takeBack(next, record);
        const content = (text: string | undefined) => (text === undefined ? undefined : JSON.parse(text));
        expect({ ...back, daemonJson: content(back.daemonJson) }).toEqual({
          ...now,
          daemonJson: content(now.daemonJson),
        });
      }),
    );
  });

  test('also after the daemon has kept the file current', () => {
    const { next, record } = bring(
      { ...NOTHING, daemonJson: '{ "debug": true }' },
      { settings: {}, daemonJson: KEYS },
    );
    const later = { ...next, daemonJson: next.daemonJson?.replaceAll('10.5.72', '10.5.99') };
    expect(takeBack(later, record).daemonJson).toBe('{ "debug": true }');
  });

  test('but not what somebody has changed since', () => {
    const { next, record } = bring(NOTHING, {
      settings: { docker: 'options', 'ip-masq': true },
      dropIn: OWN,
      daemonJson: KEYS,
    });
    const edited = {
      dropIn: '[Service]\nExecStart=\n',
      daemonJson: next.daemonJson?.replace('{', '{ "debug": true,'),
      settings: { ...next.settings, 'ip-masq': false, iface: 'eth1' },
    };
    const back = takeBack(edited, record);
    expect(back.dropIn).toBe(edited.dropIn);
    expect(JSON.parse(back.daemonJson ?? '')).toEqual({ debug: true });
    expect(back.settings).toEqual({ 'ip-masq': false, iface: 'eth1' });
  });

  test('without a record there is nothing to take back', () => {
    expect(takeBack({ ...NOTHING, dropIn: OWN }, undefined).dropIn).toBe(OWN);
  });
});

test('the difference shows what changes, and nothing else of files that may hold secrets', () => {
  const now = {
    dropIn: undefined,
    daemonJson: '{"proxies": "http://u:secret@p", "bip": "a"}',
    settings: { 'etcd-password': 'secret' },
  };
  const { next } = bring(now, { settings: { docker: 'options' }, dropIn: `${OWN}`, daemonJson: KEYS });
  const difference = configurationDifference(now, next, PATHS);
  expect(difference).toEqual([
    { path: '/drop-in', lines: [`+ ${OWN.split('\n')[0]}`, '+ [Unit]'] },
    {
      path: '/daemon.json',
      lines: ['- "bip": "a"', '+ "bip": "10.5.72.1/24"', '+ "mtu": 1472', '+ "ip-masq": false'],
    },
    { path: '/corduroyd.json', lines: ['+ "docker": "options"'] },
  ]);
  expect(configurationDifference(next, next, PATHS)).toEqual([]);
});
