import type { CommandState, OperatorCommand, WireguardKey } from '../backend/backend.ts';
import type { ContainerSetup } from '../bridge/container-setup.ts';
import type { Options } from '../config/options.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { ExternalInterface } from '../host/state.ts';
import type { RandomInt } from '../ipam/pick-subnet.ts';
import type { Machine } from '../lease/acquire.ts';
import type { Log } from '../observe/log.ts';
import type { Store } from '../store/store.ts';
import type { LaunchDatapath, WantedEngine } from './datapath-keeper.ts';
import type { HostKeeper } from './host-keeper.ts';
import type { ChooseInterface } from './interface-keeper.ts';

/** What the daemon takes from outside, so that the entry point wires it and tests can hold it. */
export interface DaemonParts {
  readonly options: Options;
  readonly machine: Machine;
  readonly store: Store;
  readonly log: Log;
  readonly random: RandomInt;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly host: HostKeeper;
  readonly containers: readonly ContainerSetup[];
  readonly chooseInterface: ChooseInterface;
  /** What tells this machine from a copy of it, see NodeRecord. */
  readonly hardwareOf: (iface: ExternalInterface) => string;
  /** The WireGuard keys of this host, by name; makes those that are not there yet. @throws CorduroyError `host-file` */
  readonly wireguardKeys: (names: readonly string[]) => ReadonlyMap<string, WireguardKey>;
  readonly commands: OperatorCommands;
  readonly connectDatapath: () => Promise<Datapath>;
  readonly launchDatapath: LaunchDatapath;
  /** Whether the engine that runs is known to have been started as `launchDatapath` would. */
  readonly isLaunchedFor?: (wanted: WantedEngine) => boolean;
  /** Called when `ready` or `problems` may have changed. */
  readonly onChange?: () => void;
}

/** Runs what the operator has written into the network config. */
export interface OperatorCommands {
  /** @returns what it printed, trimmed. @throws CorduroyError `host-command` */
  start(command: OperatorCommand): Promise<string>;
  /**
   * Runs what has to be and has not been yet, also by a daemon before this one; absent: none is wanted any more. What
   * takes long goes on beside the rounds.
   * @throws CorduroyError `host-command` when one fails: it is tried again with a later call
   */
  ensure(wish: CommandState | undefined): Promise<void>;
  /** Whether what this host needs of them to connect containers has been run. */
  readonly isStarted: boolean;
  /** When `ensure` has to be called again at the latest, monotonic milliseconds. */
  readonly dueAt: number;
}
