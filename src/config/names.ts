import type { Family } from '../net/ip.ts';

/** Everything a Corduroy daemon puts on a host bears one of these names, so that it can be found again and removed. */
export interface Names {
  readonly devices: DeviceNames;
  /** The alias (IFLA_IFALIAS) of every link Corduroy made: only links that bear it are ever changed or deleted. */
  readonly linkMark: string;
  readonly nftTable: string;
  readonly iptablesChain: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly configFile: string;
  readonly subnetFile: string;
  /** Makes a command of `corduroy` mean this daemon: ` --instance lab`. */
  readonly commandSuffix: string;
}

/** Of the devices that backends make. */
export interface DeviceNames {
  readonly tun: string;
  readonly ipip: string;
  /** One for both families, or for IPv4 where each has its own. */
  readonly wireguard: string;
  readonly wireguard6: string;
  /** One a family. @param vni 1 … 16777215 */
  readonly vxlan: (vni: number, family: Family) => string;
}

/**
 * Linux allows 15 characters for a link's name; `cvx6-` has to fit beside the instance. The
 * run-dir of one called `etcd` would be that of corduroy-etcd.service.
 */
export const INSTANCE_NAME = /^(?!etcd$)[a-z0-9]{1,10}$/;

export function namesFor(instance: string): Names {
  const suffix = instance === '' ? '' : `-${instance}`;
  return {
    devices: deviceNames(instance),
    linkMark: `corduroy${suffix}`,
    nftTable: `corduroy${suffix}`,
    iptablesChain: `CORDUROY${suffix.toUpperCase()}-FORWARD`,
    runDir: `/run/corduroy${suffix}`,
    stateDir: `/var/lib/corduroy${suffix}`,
    configFile: `/etc/corduroy/corduroyd${suffix}.json`,
    subnetFile: `/run/flannel/subnet${suffix}.env`,
    commandSuffix: instance === '' ? '' : ` --instance ${instance}`,
  };
}

function deviceNames(instance: string): DeviceNames {
  if (instance === '') {
    return {
      tun: 'corduroy0',
      ipip: 'corduroy.ipip',
      wireguard: 'corduroy-wg',
      wireguard6: 'corduroy-wg6',
      vxlan: (vni, family) => {
        const digit = family === 4 ? '' : '6';
        const name = `corduroy${digit}.${vni}`;
        return name.length <= MAX_LINK_NAME ? name : `cdy${digit}.${vni}`;
      },
    };
  }
  return {
    tun: `cdy-${instance}`,
    ipip: `cip-${instance}`,
    wireguard: `cwg-${instance}`,
    wireguard6: `cwg6-${instance}`,
    vxlan: (_, family) => `cvx${family === 4 ? '' : '6'}-${instance}`,
  };
}

/** Characters. */
const MAX_LINK_NAME = 15;

/** Files in the run-dir. */
export const RUN_FILES = {
  daemonSocket: 'corduroyd.sock',
  datapathSocket: 'datapath.sock',
  /** With --datapath-unit: where the other leads to. Its folder is of the user that the unit runs as. */
  unitSocket: 'datapath/datapath.sock',
  /** The unit's EnvironmentFile. */
  datapathEnvironment: 'datapath.env',
  datapathLog: 'datapath.log',
  /** Options for dockerd's next start, of --docker=options. */
  dockerEnvironment: 'docker.env',
  /** What the daemon has put on this host: `corduroy down` works from it when the daemon is gone. */
  state: 'state.json',
  /** Which of the extension backend's commands have been run. */
  commands: 'commands.json',
} as const;

/** Files in the state-dir. */
export const STATE_FILES = {
  /** The network as it was last seen in etcd, for a start without it. */
  network: 'network.json',
  /** That file while it is written. */
  networkUnfinished: 'network.json.tmp',
  /** This machine's id where it has no machine-id of its own. */
  nodeId: 'node-id',
} as const;

/** Route protocol number of every route Corduroy adds (free in iproute2's rt_protos). */
export const ROUTE_PROTOCOL = 67;
