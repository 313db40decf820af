import { describe, expect, onTestFinished, test } from 'vitest';
import { nodeKey } from '../../../src/lease/node-record.ts';
import type { LeaseId } from '../../../src/store/store.ts';
import { nodeIdOf } from '../lease/cluster.ts';
import { PREFIX, value } from '../lease/fixtures.ts';
import { ADDRESS, interfaceAt, LoneHost, until } from './lone-host.ts';

const BOX = '192.0.2.50';
/** Milliseconds from one question to the next. */
const PAUSE = 30_000;
/** Milliseconds that leave time for what a test does meanwhile. */
const ALMOST = 20_000;

/** Another machine that lives: it holds 10.5.9.0/24 by the address, and answers every question. */
class Neighbour {
  questions = 0;
  readonly #host: LoneHost;
  readonly #leaseId: LeaseId;

  private constructor(host: LoneHost, leaseId: LeaseId) {
    this.#host = host;
    this.#leaseId = leaseId;
  }

  static async at(host: LoneHost, address: string): Promise<Neighbour> {
    const { store } = host;
    const { id } = await store.grantLease(86_400);
    const key = `${PREFIX}/subnets/10.5.9.0-24`;
    const said = {
      hostName: 'box',
      version: '1.0.0',
      lease: '10.5.9.0-24',
      publicIP: address,
      hardware: 'x',
    };
    await store.transaction(
      [],
      [
        { do: 'put', key, value: value(address), leaseId: id },
        { do: 'put', key: nodeKey(PREFIX, nodeIdOf('box')), value: JSON.stringify(said), leaseId: id },
      ],
    );
    const neighbour = new Neighbour(host, id);
    const ending = new AbortController();
    const answering = neighbour.#answer(ending.signal);
    onTestFinished(async () => {
      ending.abort();
      await answering;
    });
    return neighbour;
  }

  async leave(): Promise<void> {
    await this.#host.store.revokeLease(this.#leaseId);
  }

  async #answer(signal: AbortSignal): Promise<void> {
    const { store } = this.#host;
    for await (const event of store.watch(`${PREFIX}/corduroy/challenges/`, signal)) {
      if (event.kind !== 'delta') continue;
      for (const change of event.changes) {
        if (change.kind !== 'put') continue;
        this.questions++;
        await store.transaction([], [{ do: 'delete', key: change.entry.key }]);
      }
    }
  }
}

/** Whatever wakes a daemon, many times over. */
async function disturb(host: LoneHost, daemon: ReturnType<LoneHost['start']>['daemon']): Promise<void> {
  for (let count = 0; count < 30; count++) {
    await host.lease(`10.5.${100 + count}.0-24`, '192.0.2.3');
    daemon.hint('host');
    daemon.hint('interface');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('a host is refused, because another that lives has its address', () => {
  test('without a subnet: it asks once in 30 s, whatever wakes it, and goes on when the other has left', async () => {
    const host = await LoneHost.create();
    const box = await Neighbour.at(host, ADDRESS);
    const { daemon } = host.start();
    await until(() => daemon.problems.join().includes('published by another one that lives'));
    const granted = host.store.granted.length;
    await disturb(host, daemon);
    host.ahead += ALMOST;
    await disturb(host, daemon);
    expect([box.questions, host.store.granted.length]).toEqual([1, granted]);
    expect(daemon.problems.join()).toMatch(/published by another one that lives, box .*--iface/);
    expect([daemon.ready, host.wishes, host.engine]).toEqual([false, [], undefined]);

    host.ahead += PAUSE;
    await disturb(host, daemon);
    expect(box.questions).toBe(2);
    await box.leave();
    host.ahead += PAUSE;
    daemon.hint('host');
    await until(() => daemon.ready);
    expect([box.questions, daemon.problems, daemon.leases.subnets.join()]).toEqual([2, [], '10.5.1.0/24']);
  });

  test('with a subnet in use: the same, and it goes on with what it has', async () => {
    const host = await LoneHost.create();
    const one = host.start();
    await until(() => one.isHeld);
    const box = await Neighbour.at(host, BOX);
    host.iface = interfaceAt(BOX);
    one.daemon.hint('interface');
    await until(() => one.daemon.problems.join().includes('published by another one that lives'));
    await disturb(host, one.daemon);
    host.ahead += ALMOST;
    await disturb(host, one.daemon);
    expect([box.questions, one.subnet, host.subnetsInTurn]).toEqual([1, '10.5.1.0/24', ['10.5.1.0/24']]);
    host.ahead += PAUSE;
    await disturb(host, one.daemon);
    expect(box.questions).toBe(2);
  });
});
