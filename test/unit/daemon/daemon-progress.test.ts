import { expect, test } from 'vitest';
import { LoneHost, until } from './lone-host.ts';

test('says when it has become ready, and when something is wrong with etcd', async () => {
  const host = await LoneHost.create();
  const heard: string[] = [];
  host.onChange = () => {
    const { ready, problems } = running.daemon;
    heard.push(`${ready ? 'ready' : 'not ready'} ${problems.join()}`.trim());
  };
  const running = host.start();
  await until(() => heard.at(-1) === 'ready');
  host.store.interruptWatches();
  await until(() => heard.some((text) => text.startsWith('ready the watch was broken')));
});

test('makes progress with every round, and none in a round that hangs', async () => {
  const host = await LoneHost.create();
  let hanging = Promise.resolve();
  host.containers = [{ name: 'docker', ensure: () => hanging }];
  const { daemon } = host.start();
  await until(() => daemon.ready);
  host.ahead = 1_000_000;
  daemon.hint('host');
  await until(() => daemon.progressAt > 1_000_000);
  let letGo = () => {};
  hanging = new Promise((resolve) => {
    letGo = resolve;
  });
  host.ahead = 2_000_000;
  daemon.hint('host');
  await until(() => daemon.progressAt > 2_000_000); // It has begun,
  host.ahead = 3_000_000;
  daemon.hint('host');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(daemon.progressAt).toBeLessThan(3_000_000); // and does not end.
  letGo();
});
