import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';
import { openEtcdStore } from '../../../src/store/etcd/etcd-store.ts';
import { etcdMissing, startEtcd, type TestEtcd } from '../../support/etcd.ts';
import { storeContract } from './contract.ts';

const missing = etcdMissing();
let etcd: TestEtcd | undefined;

beforeAll(async () => {
  if (missing === undefined) etcd = await startEtcd();
});
afterAll(async () => etcd?.stop());

storeContract({
  name: 'etcd',
  missing,
  shortTtl: 2,
  open: async () => {
    if (etcd === undefined) throw new Error('etcd was not started');
    await etcd.etcdctl('del', '', '--prefix');
    return openEtcdStore({ endpoints: [etcd.endpoint] });
  },
  pass: async (seconds) => {
    await sleep(seconds * 1000);
  },
});
