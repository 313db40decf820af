#!/usr/bin/env -S node --max-semi-space-size=4
import { randomInt, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import { addFlags, fromGoStyle, givenFlags, nameErrors } from './config/command-line.ts';
import { etcdAccess } from './config/etcd.ts';
import { FLAGS, type FlagName, type FlagValues } from './config/flags.ts';
import { hideSecrets } from './config/hide-secrets.ts';
import { ROUTE_PROTOCOL, RUN_FILES, STATE_FILES } from './config/names.ts';
import { type Options, resolveOptions } from './config/options.ts';
import { lockInstance, requireUnserved, serveControl, serveHealth } from './daemon/control-server.ts';
import { Daemon } from './daemon/daemon.ts';
import { HostKeeper } from './daemon/host-keeper.ts';
import { statusReport } from './daemon/status-report.ts';
import { connectDatapath } from './datapath/client.ts';
import { launchEngine } from './datapath/launch.ts';
import { CorduroyError, messageOf } from './errors.ts';
import type { Hint } from './host/hints.ts';
import { hardwareText, readNodeId } from './host/identity.ts';
import { chooseInterface, readHostNetwork } from './host/interfaces.ts';
import { HostMonitor } from './host/monitor.ts';
import type { Machine } from './lease/acquire.ts';
import type { NodeId } from './lease/node-record.ts';
import { createLog, type Log } from './observe/log.ts';
import { openEtcdStore } from './store/etcd/etcd-store.ts';
import { VERSION } from './version.ts';

const EXAMPLES = `
Every flag can also be given as an environment variable (CORDUROYD_ETCD_ENDPOINTS for --etcd-endpoints;
FLANNELD_* is read after CORDUROYD_*) or in the configuration file. The command line wins, then the environment.

Examples:
  corduroyd --etcd-endpoints=http://10.0.0.1:2379 --iface=eth1
  corduroyd --bridge=cbr0 --ip-masq                  # a host without Docker
  corduroyd --instance=lab --etcd-prefix=/lab        # a second network on this host
`;

function parseCommandLine(argv: readonly string[]): Options {
  const command = new Command('corduroyd')
    .description("Leases this host's subnet in etcd and carries its containers' packets to the other hosts.")
    .version(VERSION, '--version', 'print the version')
    .addHelpText('after', EXAMPLES)
    .allowExcessArguments(false)
    .exitOverride();
  nameErrors(command, 'corduroyd');
  addFlags(command, Object.keys(FLAGS) as FlagName[]);
  command.parse(fromGoStyle(argv), { from: 'user' });
  const given = givenFlags(command);
  hideSecrets(given);
  return resolveOptions(given, process.env);
}

async function main(): Promise<void> {
  const options = parseCommandLine(process.argv.slice(2));
  const { flags, runDir, names } = options;
  const log = createLog({ level: flags['log-level'], format: flags['log-format'] });
  const store = openEtcdStore(etcdAccess(flags, log));
  if (process.getuid?.() !== 0)
    throw new CorduroyError('usage', 'corduroyd has to be started by root: it sets up devices and routes');
  log.info(`corduroyd ${VERSION} starting, etcd at ${flags['etcd-endpoints'].join(', ')}`);
  for (const warning of options.warnings) log.warn(warning);

  await requireUnserved(join(runDir, RUN_FILES.daemonSocket));
  const lock = await lockInstance(names.linkMark);
  const stopping = new AbortController();
  const startedAt = new Date();
  const now = () => performance.now();
  const programs = dirname(fileURLToPath(import.meta.url));
  const socketPath = join(runDir, RUN_FILES.datapathSocket);
  const monitor = new HostMonitor({
    tun: names.tun,
    bridge: flags.bridge,
    protocol: ROUTE_PROTOCOL,
    table: names.nftTable,
    chain: names.iptablesChain,
    masquerade: flags['ip-masq'],
    forward: flags['iptables-forward-rules'],
    log,
  });
  const host = new HostKeeper(options, log, now, (hint) => monitor.sees(hint));
  const daemon = new Daemon({
    options,
    machine: machineOf(options, log),
    store,
    log,
    random: (bound) => randomInt(bound),
    now,
    sleep: (milliseconds) => sleep(milliseconds),
    host,
    chooseInterface: async () => chooseInterface(interfaceWishes(flags), await readHostNetwork()),
    hardwareOf: ({ mac }) => hardwareText(mac),
    connectDatapath: () => connectDatapath(socketPath),
    launchDatapath: ({ engine, config: { tunName, queues, offload } }) =>
      launchEngine({
        engine,
        tunName,
        queues,
        offload,
        socketPath,
        logFile: join(runDir, RUN_FILES.datapathLog),
        programs: {
          datapath: join(programs, 'corduroy-datapath'),
          node: process.execPath,
          dgram: join(programs, 'corduroy-datapath-dgram.js'),
        },
      }),
  });
  const control = await serveControl(join(runDir, RUN_FILES.daemonSocket), {
    status: () => statusReport(daemon, options, startedAt, now()),
    stop: async (release) => {
      log.info(`asked to stop${release ? ' and to give the lease back' : ''}`);
      await daemon.stop(release);
      stopping.abort('asked');
    },
  });
  const health =
    flags['healthz-port'] === 0
      ? undefined
      : await serveHealth(flags['healthz-ip'], flags['healthz-port'], () => daemon.ready);
  stopOnSignals(stopping, log, async () => {
    if (flags['release-on-exit']) await daemon.stop(true);
  });

  const subject = {
    external: () => daemon.interfaces.chosen?.name,
    destinations: () => host.destinations,
    onHint: (hint: Hint) => daemon.hint(hint),
  };
  const monitoring = monitor.run(subject, stopping.signal);
  await daemon.run(stopping.signal);
  await monitoring;
  control.close();
  lock.close();
  health?.close();
  await store.close();
  const forwarding = stopping.signal.reason === 'signal' && daemon.ready;
  log.info(forwarding ? 'stopped; the data plane goes on forwarding (corduroy down removes it)' : 'stopped');
}

function machineOf({ flags, stateDir }: Options, log: Log): Machine {
  const { id, remark } = readNodeId({
    machineIdFile: flags['machine-id-file'],
    nodeIdFile: join(stateDir, STATE_FILES.nodeId),
    instance: flags.instance,
  });
  if (remark !== undefined) log.warn(remark);
  const hostName = flags['node-name'] ?? hostname();
  return { nodeId: id as NodeId, hostName, version: VERSION, processId: randomUUID() };
}

function interfaceWishes(flags: FlagValues) {
  return {
    iface: flags.iface,
    ifaceRegex: flags['iface-regex'],
    ifaceCanReach: flags['iface-can-reach'],
    publicIp: flags['public-ip'],
  };
}

/** The first signal asks for an orderly end; the second one does not wait. */
function stopOnSignals(stopping: AbortController, log: Log, before: () => Promise<void>): void {
  let asked = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(1);
      asked = true;
      log.info(`${signal}: stopping`);
      before()
        .catch((error: unknown) => log.warn(`the lease was not given back: ${messageOf(error)}`))
        .finally(() => stopping.abort('signal'));
    });
  }
}

main().then(
  // Whatever might still hold the process open has no more business here.
  () => process.exit(0),
  (error: unknown) => {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
    process.stderr.write(`corduroyd: ${messageOf(error)}\n`);
    process.exit(error instanceof CorduroyError && error.code === 'usage' ? 2 : 1);
  },
);
