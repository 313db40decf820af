import { isIP, isIPv4, isIPv6 } from 'node:net';
import { messageOf } from '../errors.ts';
import { isHostAddress } from '../net/host-address.ts';
import { Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { INSTANCE_NAME } from './names.ts';

/**
 * Every flag of the daemon, with flannel's names, meanings and defaults where flannel has the flag. The same table
 * serves the command line, the environment, the configuration file and `--help`; the commands of `corduroy` use a part
 * of it.
 */
type Kind =
  | 'string'
  /** Comma-separated, and repeatable. */
  | 'list'
  /** Repeatable; commas are part of the value. */
  | 'repeat'
  | 'boolean'
  | 'integer';

export interface Flag {
  readonly kind: Kind;
  /** Stands for the value in `--help`. */
  readonly value?: string;
  readonly help: string;
  /** Absent: the value is `undefined` unless given. */
  readonly default?: string | number | boolean | readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly oneOf?: readonly string[];
  /** The rule a value breaks, or undefined. */
  readonly check?: (value: string) => string | undefined;
  /** Never shown, neither its value nor in messages. */
  readonly secret?: boolean;
}

const LINK_NAME = (value: string) =>
  /^[^\s/:]{1,15}$/.test(value) && value !== '.' && value !== '..'
    ? undefined
    : 'a link name has 1 to 15 characters, none of them a space, a slash or a colon';

const ABSOLUTE_PATH = (value: string) =>
  value.startsWith('/') ? undefined : 'it has to be an absolute path';

const unfit = (value: string) =>
  isHostAddress(Ip.parse(value)) ? undefined : 'it is none a host can have, so nobody could send to it';

const brokenNameRule = (value: string) =>
  /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(value)
    ? undefined
    : 'a network name begins with a letter or digit; letters, digits, dots, dashes and underscores follow';

const brokenNetworkRule = (value: string) => {
  try {
    Prefix.parse(value);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
};

export const FLAGS = {
  'etcd-endpoints': {
    kind: 'list',
    value: 'URLS',
    help: 'etcd endpoints, comma-separated',
    default: ['http://127.0.0.1:4001', 'http://127.0.0.1:2379'],
    check: (value) =>
      /^https?:\/\/[^/\s@]+\/?$/.test(value) ? undefined : 'an endpoint has the form http(s)://HOST:PORT',
  },
  'etcd-prefix': {
    kind: 'string',
    value: 'KEY',
    help: 'key under which the network is kept',
    default: '/coreos.com/network',
    check: (value) =>
      /^(\/[^/]+)+\/*$/.test(value) ? undefined : 'it starts with / and names a key below it',
  },
  'etcd-keyfile': { kind: 'string', value: 'FILE', help: "key of the client's certificate (PEM)" },
  'etcd-certfile': { kind: 'string', value: 'FILE', help: 'certificate to show to etcd (PEM)' },
  'etcd-cafile': { kind: 'string', value: 'FILE', help: "CA to check etcd's certificate against (PEM)" },
  'etcd-username': { kind: 'string', value: 'NAME', help: 'user to authenticate to etcd as' },
  'etcd-password': {
    kind: 'string',
    value: 'PASSWORD',
    help: "that user's password; better given as CORDUROYD_ETCD_PASSWORD or in the file: every user sees arguments",
    secret: true,
  },
  'etcd-password-file': {
    kind: 'string',
    value: 'FILE',
    help: 'file that holds the password, and nothing else; read again when it changes',
    check: ABSOLUTE_PATH,
  },
  iface: {
    kind: 'list',
    value: 'NAME|IP',
    help: 'interface for the traffic between hosts, by name or address; repeatable: the first that exists is used',
  },
  'iface-regex': {
    kind: 'repeat',
    value: 'REGEX',
    help: 'as --iface, by the first match on addresses, then on names; repeatable; tried after --iface',
    check: (value) => {
      try {
        new RegExp(value);
        return undefined;
      } catch (error) {
        return error instanceof Error ? error.message : 'it is no regular expression';
      }
    },
  },
  'iface-can-reach': {
    kind: 'string',
    value: 'IP',
    help: 'as --iface, the interface the route to this address leaves by; tried last',
    check: (value) => (isIP(value) ? undefined : 'it has to be an IP address'),
  },
  'public-ip': {
    kind: 'string',
    value: 'IP',
    help: "address other hosts send to (default: the interface's)",
    check: (value) => (isIPv4(value) ? unfit(value) : 'it has to be an IPv4 address'),
  },
  'public-ipv6': {
    kind: 'string',
    value: 'IP',
    help: 'as --public-ip, for IPv6 between hosts',
    check: (value) => (isIPv6(value) ? unfit(value) : 'it has to be an IPv6 address'),
  },
  'subnet-file': {
    kind: 'string',
    value: 'FILE',
    help: 'where subnet.env is written (default: /run/flannel/subnet.env)',
    check: ABSOLUTE_PATH,
  },
  'subnet-lease-renew-margin': {
    kind: 'integer',
    value: 'MINUTES',
    help: 'renew the lease this long before it expires',
    default: 60,
    min: 1,
    max: 1439,
  },
  'lease-ttl': {
    kind: 'integer',
    value: 'SECONDS',
    help: 'time to live of the lease',
    default: 86_400,
    min: 5,
    max: 31_536_000,
  },
  'release-on-exit': {
    kind: 'boolean',
    help: 'give the lease back when the daemon is stopped by a signal: for hosts that come and go',
    default: false,
  },
  'node-name': {
    kind: 'string',
    value: 'NAME',
    help: 'name of this host in lists (default: its host name)',
    check: (value) =>
      /^[A-Za-z0-9._-]{1,253}$/.test(value)
        ? undefined
        : 'a name has letters, digits, dots, dashes and underscores',
  },
  'machine-id-file': {
    kind: 'string',
    value: 'FILE',
    help: 'what tells this machine from all others',
    default: '/etc/machine-id',
    check: ABSOLUTE_PATH,
  },
  'ip-masq': { kind: 'boolean', help: 'masquerade traffic that leaves the network', default: false },
  'ip-masq-fully-random-disable': {
    kind: 'boolean',
    help: 'masquerade without fully randomised source ports',
    default: false,
  },
  'ip-masq-exclude': {
    kind: 'list',
    value: 'CIDRS',
    help: 'destinations outside the network that see containers by their own addresses; comma-separated',
    check: (value) => brokenNetworkRule(value),
  },
  'iptables-resync': {
    kind: 'integer',
    value: 'SECONDS',
    help: 'how often the host is compared with what it should be, at the latest; what changes is noticed at once',
    default: 30,
    min: 1,
    max: 3600,
  },
  'iptables-forward-rules': {
    kind: 'boolean',
    help: "accept forwarding from and to the network, whatever the FORWARD chain's policy",
    default: true,
  },
  'ip-blackhole-route': {
    kind: 'boolean',
    help: "add a blackhole route for this host's subnet: packets to containers that do not exist stay here",
    default: false,
  },
  docker: {
    kind: 'string',
    value: 'HOW',
    help: 'how Docker gets the subnet, to be kept right or watched: options, daemon-json, network (see corduroy docker)',
    oneOf: ['off', 'options', 'daemon-json', 'network'],
    default: 'off',
  },
  'docker-network': {
    kind: 'string',
    value: 'NAME',
    help: 'name of the Docker network of --docker=network',
    default: 'corduroy',
    check: brokenNameRule,
  },
  'docker-socket': {
    kind: 'string',
    value: 'FILE',
    help: "dockerd's socket",
    default: '/run/docker.sock',
    check: ABSOLUTE_PATH,
  },
  'docker-config-file': {
    kind: 'string',
    value: 'FILE',
    help: "dockerd's configuration file",
    default: '/etc/docker/daemon.json',
    check: ABSOLUTE_PATH,
  },
  'cni-conflist': {
    kind: 'string',
    value: 'FILE',
    help: 'CNI network configuration to write and keep current (see corduroy cni install)',
    check: ABSOLUTE_PATH,
  },
  'cni-network': {
    kind: 'string',
    value: 'NAME',
    help: 'name of the network of --cni-conflist (default: corduroy)',
    check: brokenNameRule,
  },
  'cni-bridge': {
    kind: 'string',
    value: 'NAME',
    help: "bridge that the CNI plugins make for it (default: --bridge's, or corduroy-cni)",
    check: LINK_NAME,
  },
  'datapath-unit': {
    kind: 'string',
    value: 'UNIT',
    help: 'systemd unit that runs the data plane, in place of a process that this daemon starts',
    check: (value) =>
      /^[A-Za-z0-9@._-]+\.service$/.test(value) ? undefined : 'it has to be the name of a service unit',
  },
  'datapath-engine': {
    kind: 'string',
    value: 'ENGINE',
    help: "program that moves the packets, native or dgram (default: the network config's Backend.Engine, or native)",
    oneOf: ['native', 'dgram'],
  },
  'datapath-offload': {
    kind: 'boolean',
    help: 'use every offload that works here; false: one packet a system call, to compare with',
    default: true,
  },
  'datapath-queues': {
    kind: 'integer',
    value: 'N',
    help: 'queues of the tunnel device, each with threads of its own, for the native engine: up to one a core',
    default: 1,
    min: 1,
    max: 16,
  },
  'healthz-ip': {
    kind: 'string',
    value: 'IP',
    help: 'address /healthz and /readyz are served on',
    default: '127.0.0.1',
    check: (value) => (isIP(value) ? undefined : 'it has to be an IP address'),
  },
  'healthz-port': {
    kind: 'integer',
    value: 'PORT',
    help: 'and the port; 0: not served',
    default: 0,
    min: 0,
    max: 65_535,
  },
  'net-config-path': {
    kind: 'string',
    value: 'FILE',
    help: "accepted for compatibility; flannel reads it only in its Kubernetes mode, which Corduroy doesn't have",
  },
  bridge: {
    kind: 'string',
    value: 'NAME',
    help: "create and keep a Linux bridge with the subnet's first address, for hosts without Docker",
    check: LINK_NAME,
  },
  'run-dir': {
    kind: 'string',
    value: 'DIR',
    help: 'sockets and state of this daemon (default: /run/corduroy)',
    check: (value) =>
      ABSOLUTE_PATH(value) ??
      (value.length > 80 ? 'it may have 80 characters at most: a socket path ends at 107' : undefined),
  },
  'state-dir': {
    kind: 'string',
    value: 'DIR',
    help: 'what has to survive a reboot: the network as last seen in etcd (default: /var/lib/corduroy)',
    check: ABSOLUTE_PATH,
  },
  instance: {
    kind: 'string',
    value: 'NAME',
    help: 'a name that keeps several daemons on one host apart: it is part of every device, file and rule',
    default: '',
    check: (value) =>
      value === '' || INSTANCE_NAME.test(value)
        ? undefined
        : '1 to 10 of the characters a-z and 0-9, and not etcd',
  },
  'config-file': {
    kind: 'string',
    value: 'FILE',
    help: 'JSON file with any of these flags, without the dashes (default: /etc/corduroy/corduroyd.json)',
    check: ABSOLUTE_PATH,
  },
  'log-level': {
    kind: 'string',
    value: 'LEVEL',
    help: 'debug, info, warn or error',
    default: 'info',
    oneOf: ['debug', 'info', 'warn', 'error'],
  },
  'log-format': {
    kind: 'string',
    value: 'FORMAT',
    help: 'text or json',
    default: 'text',
    oneOf: ['text', 'json'],
  },
  v: {
    kind: 'integer',
    value: 'N',
    help: "flannel's verbosity: above 0 means --log-level debug",
    default: 0,
    min: 0,
    max: 10,
  },
} as const satisfies Record<string, Flag>;

export type FlagName = keyof typeof FLAGS;

type Scalar<K> = K extends 'boolean'
  ? boolean
  : K extends 'integer'
    ? number
    : K extends 'string'
      ? string
      : readonly string[];

/** The value of each flag, by its name. Lists are empty when not given. */
export type FlagValues = {
  readonly [N in FlagName]: (typeof FLAGS)[N] extends { default: unknown }
    ? Scalar<(typeof FLAGS)[N]['kind']>
    : (typeof FLAGS)[N]['kind'] extends 'list' | 'repeat'
      ? readonly string[]
      : Scalar<(typeof FLAGS)[N]['kind']> | undefined;
};

/** Flags that say where the network is kept. */
export const ETCD_FLAGS = [
  'etcd-endpoints',
  'etcd-prefix',
  'etcd-keyfile',
  'etcd-certfile',
  'etcd-cafile',
  'etcd-username',
  'etcd-password',
  'etcd-password-file',
] as const satisfies readonly FlagName[];

/** Flags that say which daemon of this host is meant. */
export const DAEMON_FLAGS = ['run-dir', 'instance', 'config-file'] as const satisfies readonly FlagName[];
