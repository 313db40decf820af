import { expect, test } from 'vitest';
import { Resolver } from '../../../src/host/resolver.ts';

/** Answers when it is told to. */
class NameServer {
  readonly asked: string[] = [];
  #answer: (addresses: readonly string[]) => void = () => undefined;

  readonly lookup = (name: string) => {
    this.asked.push(name);
    return new Promise<readonly string[]>((answer) => {
      this.#answer = answer;
    });
  };

  answer(...addresses: string[]): void {
    this.#answer(addresses);
  }
}

test('a name server that is dead is asked once for each name, however often somebody wants to know', async () => {
  const server = new NameServer();
  const resolver = new Resolver(server.lookup, 5);
  for (let round = 0; round < 3; round++) expect(await resolver.resolve('etcd.lab')).toEqual([]);
  expect(server.asked).toEqual(['etcd.lab']);
  await resolver.resolve('etcd2.lab');
  expect(server.asked).toEqual(['etcd.lab', 'etcd2.lab']);
});

test('when it has answered, all who wait have it, and it is asked again', async () => {
  const server = new NameServer();
  const resolver = new Resolver(server.lookup, 60_000);
  const [one, other] = [resolver.resolve('etcd.lab'), resolver.resolve('etcd.lab')];
  server.answer('192.0.2.7');
  expect([await one, await other]).toEqual([['192.0.2.7'], ['192.0.2.7']]);
  const later = resolver.resolve('etcd.lab');
  server.answer('192.0.2.8');
  expect(await later).toEqual(['192.0.2.8']);
});

test('a name that does not exist has no addresses, and is asked for again', async () => {
  let asked = 0;
  const resolver = new Resolver(async () => {
    asked += 1;
    throw new Error('ENOTFOUND');
  });
  for (let round = 0; round < 2; round++) expect(await resolver.resolve('etcd.gone')).toEqual([]);
  expect(asked).toBe(2);
});
