/**
 * Makes the host it runs on what standard input says (`{ wanted, own }`, as JSON writes them), and prints what it took:
 * `{ changes, milliseconds }`, or `{ code, message }` of the error.
 */
import { text } from 'node:stream/consumers';
import { reconcileHost, removeFromHost } from '../../dist/host/reconcile.js';
import { Ip } from '../../dist/net/ip.js';
import { Prefix } from '../../dist/net/prefix.js';

const REVIVE = {
  ip: Ip.parse,
  local: Ip.parse,
  destination: Ip.parse,
  gateway: Ip.parse,
  prefix: Prefix.parse,
};

const { wanted, own } = JSON.parse(await text(process.stdin), (key, value) => REVIVE[key]?.(value) ?? value);
const marks = { ...own, names: new Set(own.names), networks: own.networks.map(Prefix.parse) };
const none = { create: async () => undefined, ensure: async () => [] };
const say = (outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`);
const startedAt = performance.now();
try {
  const changes = wanted === null ? await removeFromHost(marks) : await reconcileHost(wanted, marks, none);
  say({ changes, milliseconds: performance.now() - startedAt });
} catch (error) {
  say({ code: error.code, message: error.message });
}
