// Starts an engine on each host and gives it its routes, over its control socket, as the daemon would.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { run, script, start } from './processes.mjs';
import { OVERLAY, onBoth } from './topology.mjs';

/** Of the underlay's MTU, 28 bytes are for the outer IPv4 and UDP headers. */
export const ENGINE_MTU = 1472;
const PORT = 8285;
const TUN = 'tun0';
const START_MS = 10_000;
/** Besides the other host there is one more, so that a table always has something to choose from. */
const FEW_ROUTES = 2;

/** The compiled modules of one build. */
export async function loadBuild(dist) {
  const load = (path) => import(pathToFileURL(join(dist, path)).href);
  const [{ connectDatapath }, { engineCommand }, { Ip }, { Prefix }] = await Promise.all(
    ['datapath/client.js', 'datapath/launch.js', 'net/ip.js', 'net/prefix.js'].map(load),
  );
  const programs = {
    datapath: join(dist, 'corduroy-datapath'),
    node: process.execPath,
    dgram: join(dist, 'corduroy-datapath-dgram.js'),
  };
  return { connectDatapath, engineCommand, Ip, Prefix, programs };
}

/**
 * @param options engine: `native` or `dgram`; offload; routes: how many; folder: for the control sockets
 * @returns the engines, with their process ids
 */
export function startEngines(build, hosts, { engine, offload, routes = FEW_ROUTES, folder, label }) {
  return onBoth(hosts, async (host, other) => {
    await script(
      host.namespace,
      `ip tuntap add dev ${TUN} mode tun
       sysctl -qw net.ipv4.conf.${TUN}.accept_local=1
       ip link set ${TUN} txqueuelen 1000 mtu ${ENGINE_MTU} up
       ip address add ${host.tunnel}/32 dev ${TUN}
       ip route add ${OVERLAY} dev ${TUN}`,
    );
    const socketPath = join(folder, `${label}-${host.number}.sock`);
    const launch = { engine, tunName: TUN, queues: 1, offload, socketPath, programs: build.programs };
    const [program, ...args] = build.engineCommand(launch);
    const started = start(host.namespace, program, args);
    const datapath = await connect(build, started, socketPath);
    try {
      // A build without it may start another engine in its place.
      const found = datapath.hello.engine;
      if (found !== engine) throw new Error(`${started.title} is the ${found} engine: make build`);
      await datapath.configure(configuration(build, host, offload));
      await datapath.replaceRoutes(table(build, host, other, routes));
      return { pid: datapath.hello.pid, socketPath };
    } finally {
      datapath.close();
    }
  });
}

async function connect(build, started, socketPath) {
  let ending;
  started.ended.then((how) => {
    ending = how;
  });
  for (const deadline = performance.now() + START_MS; ; await sleep(20)) {
    try {
      return await build.connectDatapath(socketPath, { timeoutMs: START_MS });
    } catch (error) {
      if (ending !== undefined) {
        throw new Error(`${started.title} ended (${ending}): ${started.stderr.trim().slice(0, 300)}`, {
          cause: error,
        });
      }
      if (!error.retryable || performance.now() > deadline) throw error;
    }
  }
}

function configuration({ Ip }, host, offload) {
  return {
    tunName: TUN,
    mtu: ENGINE_MTU,
    listen: { address: Ip.parse(host.outer), port: PORT },
    icmpSources: [Ip.parse(host.tunnel)],
    strictSource: true,
    offload,
    ecn: false,
    queues: 1,
  };
}

/** Routes to the other host and to hosts that are not there: a subnet and an address of its own for each. */
function table({ Ip, Prefix }, host, other, count) {
  const routes = [
    { prefix: Prefix.parse(other.subnet), peer: { address: Ip.parse(other.outer), port: PORT } },
  ];
  for (let index = 0; routes.length < count; index++) {
    const [high, low] = [index >> 8, index & 255];
    routes.push({
      prefix: Prefix.parse(`10.${128 + high}.${low}.0/24`),
      peer: { address: Ip.parse(`198.18.${high}.${low}`), port: PORT },
    });
  }
  return { generation: 1n, local: [Prefix.parse(host.subnet)], routes };
}

/** Each offload of an engine, as it is by now: `udp-gro on`, or `udp-gro off: why`. */
export async function offloadStates(build, { socketPath }) {
  const datapath = await build.connectDatapath(socketPath, { timeoutMs: START_MS });
  try {
    const { offloads } = await datapath.stats();
    return offloads.map(({ offload, state, reason }) => `${offload} ${state}${reason && `: ${reason}`}`);
  } finally {
    datapath.close();
  }
}

/** What the processes keep in memory, the larger of the two ends. MB of a million bytes. */
export async function residentMegabytes(engines) {
  const each = await Promise.all(
    engines.map(async ({ pid }) => {
      const status = await run(undefined, 'cat', [`/proc/${pid}/status`]);
      return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) * 1024) / 1e6;
    }),
  );
  return Math.max(...each);
}
