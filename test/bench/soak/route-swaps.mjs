// Exchanges the tables of the engines over and over: what leads to the other host stays, thousands of others come and go.
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 100;
const WHOLE = 4000;
const CHANGED = 500;
const PORT = 8285;

/** @returns { swaps(), stop() }: stop rejects with what went wrong */
export function startSwaps({ Ip, Prefix }, hosts, clients) {
  let stopping = false;
  let swaps = 0;
  const [one, two] = hosts;

  /** One of 64 K networks, each with a peer of its own that is not there. */
  function route(number) {
    const [high, low] = [(number >> 8) & 255, number & 255];
    return {
      prefix: Prefix.parse(`100.${high}.${low}.0/24`),
      peer: { address: Ip.parse(`198.18.${high}.${low}`), port: PORT },
    };
  }
  const range = (from, count) => Array.from({ length: count }, (_, index) => route((from + index) % 65_536));

  async function swapOf(client, host, other) {
    let { generation } = await client.stats();
    const live = {
      prefix: Prefix.parse(other.subnet),
      peer: { address: Ip.parse(other.outer), port: PORT },
    };
    const local = [Prefix.parse(host.subnet)];
    for (let from = 0; !stopping; from = (from + 7919) % 65_536) {
      const began = performance.now();
      await client.replaceRoutes({ generation: ++generation, local, routes: [live, ...range(from, WHOLE)] });
      await client.updateRoutes({
        from: generation,
        to: ++generation,
        remove: range(from, CHANGED).map(({ prefix }) => prefix),
        // The live one as well: set again to what it is.
        set: [live, ...range(from + WHOLE, CHANGED)],
      });
      swaps += 2;
      await sleep(Math.max(0, EVERY_MS - (performance.now() - began)));
    }
  }
  const running = Promise.all([swapOf(clients[0], one, two), swapOf(clients[1], two, one)]);
  running.catch(() => undefined); // `stop` says it.
  return {
    swaps: () => swaps,
    stop: async () => {
      stopping = true;
      await running;
    },
  };
}
