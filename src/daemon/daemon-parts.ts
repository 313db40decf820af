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
  readonly connectDatapath: () => Promise<Datapath>;
  readonly launchDatapath: LaunchDatapath;
  /** Whether the engine that runs is known to have been started as `launchDatapath` would. */
  readonly isLaunchedFor?: (wanted: WantedEngine) => boolean;
  /** Called when `ready` or `problems` may have changed. */
  readonly onChange?: () => void;
}
