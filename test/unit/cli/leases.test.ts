import { beforeEach, describe, expect, test } from 'vitest';
import { formatListing, readListing } from '../../../src/cli/leases/list.ts';
import { report } from '../../../src/cli/leases/report.ts';
import { beneficiaryOf } from '../../../src/cli/leases/reserve.ts';
import { leasesCommand } from '../../../src/cli/leases.ts';
import { nothingToDo } from '../../../src/lease/administration/plan.ts';
import { Administered, by } from '../lease/administered.ts';
import { FOLDER, nodeIdOf } from '../lease/cluster.ts';
import { PREFIX, rangesOf, value } from '../lease/fixtures.ts';

let net: Administered;
beforeEach(async () => {
  net = await Administered.create({});
});

const listing = async () => readListing(net.cluster.store, PREFIX);

describe('leases list', () => {
  test('each with its host, sorted by address, and whom reservations are for', async () => {
    await net.cluster.lease('10.5.100.0-24', '{"PublicIP":"192.0.2.50","BackendType":"host-gw"}', 3600);
    await net.running({ hostName: 'db1', random: () => 8, ranges: rangesOf({ Network: '10.5.0.0/16' }) });
    await net.reserve('10.5.10.0/24');
    await net.reserve('10.5.11.0/24', { host: 'db2' });
    await net.reserve('10.5.20.0/24', by('192.0.2.60'));
    expect(formatListing(await listing())).toBe(
      [
        'SUBNET         HOST  PUBLIC IP   BACKEND  EXPIRES                         VERSION',
        '10.5.9.0/24    db1   192.0.2.1   udp      in 1 d 0 h                      1.0.0',
        '10.5.10.0/24   -     -           -        never: reserved for nobody      -',
        '10.5.11.0/24   -     -           -        never: reserved for db2         -',
        '10.5.20.0/24   -     192.0.2.60  udp      never: reserved for 192.0.2.60  -',
        '10.5.100.0/24  -     192.0.2.50  host-gw  in 1 h 0 min                    -',
      ].join('\n'),
    );
  });

  test('as JSON', async () => {
    await net.running({ hostName: 'db1' });
    await net.reserve('10.5.2.0/24');
    expect(await listing()).toEqual({
      leases: [
        {
          subnets: ['10.5.1.0/24'],
          publicIp: '192.0.2.1',
          backend: 'udp',
          expiresIn: 86_400,
          host: { name: 'db1', id: nodeIdOf('192.0.2.1'), version: '1.0.0' },
          value: value('192.0.2.1'),
        },
        {
          subnets: ['10.5.2.0/24'],
          publicIp: '0.0.0.0',
          backend: 'udp',
          reservedFor: 'nobody',
          value: '{"PublicIP":"0.0.0.0","PublicIPv6":null}',
        },
      ],
      malformed: [],
    });
  });

  test('a pinned lease shows its host', async () => {
    await net.running({ hostName: 'db1' });
    await net.reserve('10.5.1.0/24', { host: 'db1' });
    const [line] = (await listing()).leases;
    expect(line).toMatchObject({ reservedFor: 'db1', host: { name: 'db1' } });
    expect(line).not.toHaveProperty('expiresIn');
  });

  test('keys that cannot be read, of every kind, with the reason and nothing that a terminal obeys', async () => {
    await net.cluster.put(`${FOLDER}\u001b[2J`, '{}');
    await net.cluster.lease('10.5.1.0-24', '{"PublicIP":"0.0.0.0"}');
    await net.cluster.put(`${PREFIX}/corduroy/nodes/${nodeIdOf('x')}`, '[]');
    await net.cluster.put(`${PREFIX}/corduroy/reservations/10.5.2.0-24`, '{}');
    const text = formatListing(await listing());
    expect(text.split('\n')).toEqual([
      'no leases',
      expect.stringMatching(/^malformed: \/net\/subnets\/\\u001b\[2J: the key does not have the form/),
      expect.stringMatching(/^malformed: \/net\/subnets\/10\.5\.1\.0-24: the value has neither/),
      expect.stringMatching(/^malformed: \/net\/corduroy\/nodes\/[0-9a-f]{32}: hostName is no string$/),
      'malformed: /net/corduroy/reservations/10.5.2.0-24: host is no string',
    ]);
  });

  test('names from etcd are nothing that a terminal obeys', async () => {
    await net.running({ hostName: '\u001b[31mdb1' });
    await net.cluster.lease('10.5.2.0-24', '{"PublicIP":"192.0.2.50","BackendType":"\\u001b[2J"}');
    await net.cluster.reserve('10.5.3.0-24');
    await net.putSide('10.5.3.0-24', '\u001b[32mdb2');
    expect(formatListing(await listing())).not.toContain('\u001b');
  });

  test('a lease that ends while it is read has no time left', async () => {
    await net.cluster.lease('10.5.1.0-24', value('192.0.2.50'), 10);
    const { store } = net.cluster;
    const list = store.list.bind(store);
    store.list = async (prefix) => {
      const all = await list(prefix);
      net.cluster.pass(11);
      return all;
    };
    expect((await listing()).leases).toMatchObject([{ expiresIn: 0 }]);
  });
});

describe('leases reserve: whom it is for', () => {
  test.each([
    [{}, undefined],
    [{ host: 'db1.example.org' }, { host: 'db1.example.org' }],
    [{ host: nodeIdOf('x').toUpperCase() }, { host: nodeIdOf('x') }],
    [{ publicIp: '192.0.2.7' }, by('192.0.2.7')],
  ])('%j', (settings, beneficiary) => {
    expect(beneficiaryOf(settings)).toEqual(beneficiary);
  });

  test.each([
    { host: '' },
    { host: 'a b' },
    { host: '\u001b[2J' },
    { host: 'a'.repeat(254) },
    { publicIp: 'fd00::1/64' },
    { publicIp: 'db1' },
  ])('%j is wrong use', (settings) => {
    expect(() => beneficiaryOf(settings)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  test('either a host or an address', async () => {
    const command = leasesCommand();
    for (const sub of [command, ...command.commands])
      sub.exitOverride().configureOutput({ writeErr: () => undefined });
    const words = ['reserve', '10.5.1.0/24', '--host', 'db1', '--public-ip', '192.0.2.7'];
    await expect(command.parseAsync(words, { from: 'user' })).rejects.toMatchObject({
      code: 'commander.conflictingOption',
    });
  });
});

test('what was done is said in lines that a terminal does not obey, or as JSON', () => {
  const written: string[] = [];
  const write = process.stdout.write;
  process.stdout.write = (chunk) => written.push(String(chunk)) > 0;
  try {
    const plan = nothingToDo('/net/subnets/10.5.1.0-24', 'said \u001b[2J', ['noted']);
    report(plan, false);
    report(plan, true);
  } finally {
    process.stdout.write = write;
  }
  expect(written[0]).toBe('said \\u001b[2J\nnote: noted\n');
  expect(JSON.parse(written[1] ?? '')).toEqual({
    schema: 1,
    action: 'nothing',
    changed: false,
    key: '/net/subnets/10.5.1.0-24',
    message: 'said \u001b[2J',
    notes: ['noted'],
  });
});
