import { randomInt, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ContainerSetup } from '../bridge/container-setup.ts';
import { containerSetups } from '../bridge/containers.ts';
import { etcdAccess } from '../config/etcd.ts';
import { ROUTE_PROTOCOL, RUN_FILES, STATE_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { connectDatapath } from '../datapath/client.ts';
import { launchEngine } from '../datapath/launch.ts';
import { BridgePorts } from '../host/bridge-ports.ts';
import type { Hint } from '../host/hints.ts';
import { hardwareText, readNodeId } from '../host/identity.ts';
import { chooseInterface, readHostNetwork } from '../host/interfaces.ts';
import { HostMonitor } from '../host/monitor.ts';
import type { Port } from '../host/state.ts';
import type { Machine } from '../lease/acquire.ts';
import type { NodeId } from '../lease/node-record.ts';
import { createLog, type Log } from '../observe/log.ts';
import { openEtcdStore } from '../store/etcd/etcd-store.ts';
import type { Store } from '../store/store.ts';
import { VERSION } from '../version.ts';
import { CommandKeeper } from './command-keeper.ts';
import { Daemon } from './daemon.ts';
import type { DaemonParts } from './daemon-parts.ts';
import type { WantedEngine } from './datapath-keeper.ts';
import { isUnitFor, launchUnit } from './datapath-unit.ts';
import { HostKeeper } from './host-keeper.ts';
import { interfaceWishes } from './interface-keeper.ts';
import { WireguardKeys } from './wireguard-keys.ts';
import { type Rotation, type RotationParts, rotateWireguardKey } from './wireguard-rotation.ts';

/** Settings that have proved to be usable. */
export interface Prepared {
  readonly options: Options;
  readonly log: Log;
  readonly machine: Machine;
  readonly containers: readonly ContainerSetup[];
  readonly store: Store;
}

/**
 * What can be wrong with settings shows here, before anything on the host is touched. Whoever has no use for the outcome
 * closes its store.
 *
 * @throws CorduroyError `usage`, `host-file`
 */
export function prepare(options: Options): Prepared {
  const { flags } = options;
  const log = createLog({ level: flags['log-level'], format: flags['log-format'] });
  const containers = containerSetups(options, log);
  return {
    options,
    log,
    containers,
    machine: machineOf(options, log),
    store: openEtcdStore(etcdAccess(flags, log)),
  };
}

/** A daemon under one set of settings, with all it is made of. When they change, it ends and another takes its place. */
export class DaemonRun {
  readonly options: Options;
  readonly log: Log;
  readonly daemon: Daemon;
  readonly #store: Store;
  readonly #host: HostKeeper;
  readonly #ports: BridgePorts;
  readonly #monitor: HostMonitor;
  readonly #commands: CommandKeeper;
  readonly #ending = new AbortController();
  readonly #rotationParts: RotationParts;
  #rotations: Promise<unknown> = Promise.resolve();

  /** @param onChange called when `daemon.ready` or `daemon.problems` may have changed */
  constructor(prepared: Prepared, now: () => number, onChange: () => void) {
    const { options, log, machine, containers, store } = prepared;
    const { flags, runDir, names } = options;
    this.options = options;
    this.log = log;
    this.#store = store;
    const keys = new WireguardKeys(options.stateDir);
    this.#monitor = new HostMonitor({
      bridge: flags.bridge,
      protocol: ROUTE_PROTOCOL,
      table: names.nftTable,
      chain: names.iptablesChain,
      masquerade: flags['ip-masq'],
      forward: flags['iptables-forward-rules'],
      log,
    });
    this.#commands = new CommandKeeper({ path: join(runDir, RUN_FILES.commands), log, now });
    this.#ports = new BridgePorts(flags.bridge);
    this.#host = new HostKeeper(options, log, now, (hint) => this.#monitor.sees(hint), this.#ports);
    const sleepFor = (milliseconds: number) => sleep(milliseconds);
    this.#rotationParts = { keys, store, log, now, sleep: sleepFor, signal: this.#ending.signal };
    this.daemon = new Daemon({
      options,
      machine,
      store,
      log,
      random: (bound) => randomInt(bound),
      now,
      sleep: sleepFor,
      host: this.#host,
      containers,
      wireguardKeys: (names) => keys.get(names),
      commands: this.#commands,
      chooseInterface: async (before, families) =>
        chooseInterface(interfaceWishes(flags), await readHostNetwork(), families, before?.name),
      hardwareOf: ({ mac }) => hardwareText(mac),
      connectDatapath: () => connectDatapath(join(runDir, RUN_FILES.datapathSocket)),
      ...datapathStarter(options, this.#ending.signal),
      onChange,
    });
  }

  /** Runs until `end` is called. The data plane, routes and files stay as they are. @throws a defect */
  async run(): Promise<void> {
    const { daemon } = this;
    for (const warning of this.options.warnings) this.log.warn(warning);
    const subject = {
      external: () => daemon.interfaces.chosen?.name,
      devices: () => this.#host.devices,
      destinations: () => this.#host.destinations,
      onHint: (hint: Hint) => daemon.hint(hint),
      onPort: (port: Port) => this.#ports.attached(port),
    };
    const monitoring = this.#monitor.run(subject, this.#ending.signal);
    await daemon.run(this.#ending.signal);
    await this.#commands.close();
    await monitoring;
    await this.#store.close();
  }

  /** See `rotateWireguardKey`; one after the other. */
  rotateWireguardKey(): Promise<Rotation> {
    const rotating = this.#rotations.then(() => rotateWireguardKey(this.daemon, this.#rotationParts));
    this.#rotations = rotating.catch(() => undefined);
    return rotating;
  }

  end(): void {
    this.#ending.abort();
  }
}

function datapathStarter(
  { flags, runDir }: Options,
  signal: AbortSignal,
): Pick<DaemonParts, 'launchDatapath' | 'isLaunchedFor'> {
  const folder = dirname(dirname(fileURLToPath(import.meta.url)));
  const programs = {
    datapath: join(folder, 'corduroy-datapath'),
    node: process.execPath,
    dgram: join(folder, 'corduroy-datapath-dgram.js'),
  };
  const wanted = ({ engine, config: { tunName, queues, offload } }: WantedEngine) => {
    return { engine, tunName, queues, offload, programs };
  };
  const unit = flags['datapath-unit'];
  if (unit !== undefined) {
    return {
      launchDatapath: (engine) => launchUnit({ ...wanted(engine), unit, runDir, signal }),
      isLaunchedFor: (engine) => isUnitFor({ ...wanted(engine), unit, runDir, signal }),
    };
  }
  const socketPath = join(runDir, RUN_FILES.datapathSocket);
  const logFile = join(runDir, RUN_FILES.datapathLog);
  return { launchDatapath: (engine) => launchEngine({ ...wanted(engine), socketPath, logFile }) };
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
