import { expect, test } from 'vitest';
import { WireguardKeys } from '../../../src/daemon/wireguard-keys.ts';
import {
  type RotatingDaemon,
  type RotationParts,
  rotateWireguardKey,
} from '../../../src/daemon/wireguard-rotation.ts';
import { CorduroyError } from '../../../src/errors.ts';
import { attributes } from '../lease/fixtures.ts';
import { RecordedLog } from '../lease/recorded-log.ts';
import { temporaryFolder } from './temporary-folder.ts';

const NAME = 'wireguard';
const LEASE = '/net/subnets/10.5.1.0-24';

/** A daemon that publishes the key there is when it has been hinted at, or never. */
function stage({
  publishes = true,
  over = {} as object,
  get = async (): Promise<undefined> => undefined,
  endsAt = Number.POSITIVE_INFINITY,
} = {}) {
  const clock = { at: 0 };
  const ending = new AbortController();
  if (endsAt === 0) ending.abort();
  const keys = new WireguardKeys(temporaryFolder());
  const keyNow = () => keys.get([NAME]).get(NAME)?.publicKey ?? '';
  const held = {
    key: LEASE,
    attributes: { ...attributes('192.0.2.5'), backendData: { PublicKey: keyNow() } },
  };
  const leases = { held, state: { name: 'held' } };
  const hints: string[] = [];
  const daemon = {
    config: { backend: { needs: { wireguardKeys: [NAME] } } },
    view: { complete: true, fault: undefined, remembered: undefined, configKey: '/net/config' },
    leases,
    ready: true,
    problems: [],
    hint: () => {
      hints.push(keyNow());
      const { attributes } = held;
      if (publishes)
        leases.held = { ...held, attributes: { ...attributes, backendData: { PublicKey: keyNow() } } };
    },
    ...over,
  } as unknown as RotatingDaemon;
  const log = new RecordedLog();
  const parts: RotationParts = {
    keys,
    store: { get },
    log,
    now: () => clock.at,
    sleep: async (milliseconds) => {
      clock.at += milliseconds;
      if (clock.at >= endsAt) ending.abort();
    },
    signal: ending.signal,
  };
  return { rotate: () => rotateWireguardKey(daemon, parts), before: keyNow(), keyNow, hints, clock, log };
}

test('a key is rotated once the lease says so', async () => {
  const { rotate, before, keyNow, log } = stage();
  const rotation = await rotate();
  expect(rotation).toEqual({ before, after: keyNow(), lease: LEASE, tookMs: 0 });
  expect(keyNow()).not.toBe(before);
  expect(log.lines.join()).toContain(keyNow());
});

test('a key that etcd does not take within five seconds is taken back', async () => {
  const { rotate, before, keyNow, hints, clock } = stage({ publishes: false });
  await expect(rotate()).rejects.toThrow(
    /not in the lease within 5 s, and the one before is back in use: it answers/,
  );
  expect(keyNow()).toBe(before);
  // The device has the new one, and then the old one again.
  expect(hints.map((key) => key === before)).toEqual([false, true]);
  expect(clock.at).toBe(5000);
});

test.each<[string, object, RegExp]>([
  [
    'another backend',
    { config: { backend: {} } },
    /does not go by the wireguard backend: this host has no key/,
  ],
  [
    'no lease',
    { leases: { held: undefined, state: { name: 'acquiring' } } },
    /so this one stays: this host is being/,
  ],
  ['an etcd that is away', { view: { complete: true, fault: new Error('gone') } }, /so this one stays/],
  ['a network from memory', { view: { complete: true, remembered: new Date() } }, /so this one stays/],
  ['a host that is not ready', { ready: false, problems: ['no route'] }, /so this one stays: no route$/],
])('with %s nothing is touched', async (_what, over, message) => {
  const { rotate, before, keyNow, hints } = stage({ over });
  await expect(rotate()).rejects.toThrow(message);
  expect([keyNow(), hints]).toEqual([before, []]);
});

test.each([20, 5000])(
  'a daemon that ends after %i ms leaves the new key to the one that follows',
  async (endsAt) => {
    const { rotate, before, keyNow, hints } = stage({ publishes: false, endsAt });
    await expect(rotate()).rejects.toMatchObject({
      code: 'daemon-refused',
      message: expect.stringMatching(/the new key \S{44} is on disk.* corduroy status$/),
    });
    expect(keyNow()).not.toBe(before);
    expect(hints).toEqual([keyNow()]);
  },
);

test('a daemon that has ended touches nothing any more', async () => {
  const { rotate, before, keyNow, hints } = stage({ endsAt: 0 });
  await expect(rotate()).rejects.toThrow(/the key of this host is still the one before/);
  expect([keyNow(), hints]).toEqual([before, []]);
});

test('etcd is asked before anything is touched', async () => {
  const get = async () => {
    throw new CorduroyError('store-unavailable', 'etcd does not answer');
  };
  const { rotate, before, keyNow, hints } = stage({ get });
  await expect(rotate()).rejects.toThrow(/so this one stays: etcd does not answer$/);
  expect([keyNow(), hints]).toEqual([before, []]);
});
