// What etcd says of itself, from its /metrics, which are no gRPC requests and so not counted.
import { cpuSeconds, memory, pidOf } from './processes.mjs';

/** One sample of everything that a part of the benchmark may want the difference of. */
export async function sampleEtcd(endpoint) {
  const at = performance.now();
  const response = await fetch(`${endpoint}/metrics`);
  const lines = (await response.text()).split('\n');
  const pid = pidOf('etcd');
  return {
    at,
    cpu: cpuSeconds(pid),
    memory: memory(pid),
    requests: callsByMethod(lines, 'grpc_server_msg_received_total'),
    sentBytes: total(lines, 'etcd_network_client_grpc_sent_bytes_total'),
    events: total(lines, 'etcd_debugging_mvcc_events_total'),
    watchers: total(lines, 'etcd_debugging_mvcc_watcher_total'),
  };
}

/**
 * What happened between two samples. Requests are the messages that etcd received: one for a unary call, and one for
 * each thing asked for on a stream (a watch that is created or ended, a lease that is kept).
 */
export function between(before, after) {
  const seconds = (after.at - before.at) / 1000;
  const methods = Object.entries(after.requests)
    .map(([method, count]) => [method, count - (before.requests[method] ?? 0)])
    .filter(([, count]) => count > 0);
  return {
    seconds,
    requests: methods.reduce((sum, [, count]) => sum + count, 0),
    byMethod: Object.fromEntries(methods),
    cpuShare: (after.cpu - before.cpu) / seconds,
    sentMegabytes: (after.sentBytes - before.sentBytes) / 1e6,
    events: after.events - before.events,
    watchers: after.watchers,
    resident: after.memory.resident,
    peak: after.memory.peak,
  };
}

function callsByMethod(lines, name) {
  const calls = {};
  for (const line of lines) {
    const found = line.startsWith(`${name}{`) && /grpc_method="([^"]+)".*\} (\S+)$/.exec(line);
    if (found) calls[found[1]] = (calls[found[1]] ?? 0) + Number(found[2]);
  }
  return calls;
}

function total(lines, name) {
  return lines
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
