/** Everything a Corduroy daemon puts on a host bears one of these names, so that it can be found again and removed. */
export interface Names {
  readonly tun: string;
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

/**
 * Linux allows 15 characters for a link's name; `cdy-` and a suffix of its own have to fit beside the instance. The
 * run-dir of one called `etcd` would be that of corduroy-etcd.service.
 */
export const INSTANCE_NAME = /^(?!etcd$)[a-z0-9]{1,10}$/;

export function namesFor(instance: string): Names {
  const suffix = instance === '' ? '' : `-${instance}`;
  return {
    tun: instance === '' ? 'corduroy0' : `cdy${suffix}`,
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
