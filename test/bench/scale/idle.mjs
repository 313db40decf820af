// What a quiet daemon costs: requests to etcd, and CPU time of the daemon, of what it runs, and of its engine.
import { setTimeout as sleep } from 'node:timers/promises';
import { between, sampleEtcd } from './etcd-metrics.mjs';
import { cpuSeconds, cpuTimes } from './processes.mjs';

export async function measureIdle(endpoint, { pid, enginePid }, seconds) {
  const cpu = () => {
    const { own, children } = cpuTimes(pid);
    return [own, children, cpuSeconds(enginePid)];
  };
  const [before, etcdBefore] = [cpu(), await sampleEtcd(endpoint)];
  await sleep(seconds * 1000);
  const [after, etcdAfter] = [cpu(), await sampleEtcd(endpoint)];
  const { requests, byMethod, seconds: elapsed } = between(etcdBefore, etcdAfter);
  const aMinute = 60 / elapsed;
  const used = (index) => (after[index] - before[index]) * 1000 * aMinute;
  return {
    seconds: elapsed,
    requests: requests * aMinute,
    byMethod,
    daemon: used(0),
    programs: used(1),
    engine: used(2),
  };
}
