// Every counter of a packet's way that says that one was dropped: of the engines, and of the kernel in each namespace.
import { readFileSync } from 'node:fs';
import { run } from '../datapath/processes.mjs';

/** Of /proc/net/snmp. InErrors counts what did not fit a socket's buffer, too; NoPorts would be a flow without a counter. */
const SNMP = {
  Ip: ['InHdrErrors', 'InAddrErrors', 'InDiscards', 'OutDiscards', 'OutNoRoutes', 'ReasmFails', 'FragFails'],
  Udp: ['InErrors', 'SndbufErrors', 'NoPorts'],
};
const DEVICE_COLUMNS = { 'rx errors': 2, 'rx dropped': 3, 'tx errors': 10, 'tx dropped': 11 };

/** @returns drops by what counts them, for `difference` */
export async function kernelDrops(hosts) {
  const drops = new Map();
  for (const { number, namespace, container } of hosts) {
    for (const [place, name] of [
      [`host ${number}`, namespace],
      [`container ${number}`, container],
    ]) {
      const [devices, snmp, qdiscs] = await Promise.all([
        run(name, 'cat', ['/proc/net/dev']),
        run(name, 'cat', ['/proc/net/snmp']),
        run(name, 'tc', ['-s', '-j', 'qdisc', 'show']),
      ]);
      for (const [what, count] of [...deviceDrops(devices), ...snmpDrops(snmp), ...qdiscDrops(qdiscs)])
        drops.set(`${place}: ${what}`, count);
    }
  }
  // Of each processor: packets, then drops of its backlog queue, in hexadecimal. Of the whole machine.
  const backlog = readFileSync('/proc/net/softnet_stat', 'utf8').trim().split('\n');
  drops.set(
    'machine: backlog dropped',
    backlog.reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1], 16), 0),
  );
  return drops;
}

/** @returns drops by reason, and what each has sent to and taken from the other */
export async function engineCounters(clients) {
  const drops = new Map();
  const traffic = [];
  for (const [index, client] of clients.entries()) {
    const stats = await client.stats();
    for (const [reason, count] of Object.entries(stats.drops))
      drops.set(`engine ${index + 1}: ${reason}`, Number(count));
    const other = `192.0.2.${2 - index}`;
    const peer = stats.peers.find(({ address }) => String(address) === other);
    traffic.push({ sent: Number(peer?.sentPackets ?? 0), received: Number(peer?.receivedPackets ?? 0) });
  }
  return { drops, traffic };
}

/** What has grown, and by how much. */
export function difference(before, after) {
  return [...after]
    .map(([what, count]) => [what, count - (before.get(what) ?? 0)])
    .filter(([, grown]) => grown !== 0);
}

function* deviceDrops(text) {
  for (const line of text.split('\n').slice(2).filter(Boolean)) {
    const [device, rest] = line.split(':');
    const counts = rest.trim().split(/\s+/).map(Number);
    for (const [what, column] of Object.entries(DEVICE_COLUMNS))
      yield [`${device.trim()} ${what}`, counts[column]];
  }
}

function* snmpDrops(text) {
  const lines = text.split('\n');
  for (const [protocol, wanted] of Object.entries(SNMP)) {
    const [names, counts] = lines
      .filter((line) => line.startsWith(`${protocol}:`))
      .map((line) => line.split(' '));
    for (const name of wanted) yield [`${protocol} ${name}`, Number(counts[names.indexOf(name)])];
  }
}

function* qdiscDrops(text) {
  for (const { dev, kind, handle, drops = 0 } of JSON.parse(text))
    if (kind !== 'noqueue') yield [`${dev} queue ${kind} ${handle} dropped`, drops];
}
