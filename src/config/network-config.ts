import { CorduroyError, messageOf } from '../errors.ts';
import { ADDRESS_BITS, type Family, Ip } from '../net/ip.ts';
import { Prefix } from '../net/prefix.ts';
import { printable } from '../printable.ts';
import { Document, type Problem } from './document.ts';

/** Where the document is kept. */
export function networkConfigKey(prefix: string): string {
  return `${prefix}/config`;
}

/** The document under that key: flannel's, key for key. */
export interface NetworkConfig {
  /** One entry a family in use, IPv4 first; never empty. */
  readonly ranges: readonly SubnetRange[];
  readonly backend: BackendConfig;
}

/** The addresses of one family, and how they are cut into subnets. */
export interface SubnetRange {
  readonly network: Prefix;
  /** Addresses of the first and the last subnet that may be leased. */
  readonly subnetMin: Ip;
  readonly subnetMax: Ip;
  /** Prefix length of each subnet. */
  readonly subnetLen: number;
}

export interface BackendConfig {
  /** Lower case. `udp` where the document names none, as in flannel. */
  readonly type: string;
  /** Everything under "Backend" but Type, as it stands there; the backend checks it. */
  readonly options: Document;
}

export interface Checked<T> {
  readonly value: T | undefined;
  readonly problems: readonly Problem[];
  /** Keys that mean nothing here, spelt as in the document. */
  readonly unknownKeys: readonly string[];
}

/** Per family: the names of its keys, and flannel's limits. */
const FAMILIES = [
  {
    family: 4,
    enable: 'EnableIPv4',
    enabledByDefault: true,
    network: 'Network',
    min: 'SubnetMin',
    max: 'SubnetMax',
    length: 'SubnetLen',
    longestNetwork: 28,
    longestSubnet: 30,
    defaultLength: 24,
    example: '10.5.0.0/16',
  },
  {
    family: 6,
    enable: 'EnableIPv6',
    enabledByDefault: false,
    network: 'IPv6Network',
    min: 'IPv6SubnetMin',
    max: 'IPv6SubnetMax',
    length: 'IPv6SubnetLen',
    longestNetwork: 124,
    longestSubnet: 126,
    defaultLength: 64,
    example: 'fd00:10:5::/48',
  },
] as const;

/** Of which no subnet could work, whatever flannel thinks of it: the kernel routes none of them to another host. */
const SPECIAL_NETWORKS = (
  [
    ['0.0.0.0/8', 'hosts that have no address yet (RFC 1122)'],
    ['127.0.0.0/8', 'the loopback device'],
    ['224.0.0.0/4', 'multicast'],
    ['fe80::/10', 'addresses of one link (RFC 4291)'],
    ['ff00::/8', 'multicast'],
    ['::/96', 'the unspecified and the loopback address, ::1 (RFC 4291)'],
  ] as const
).map(([block, use]) => ({ block: Prefix.parse(block), use }));

type FamilyKeys = (typeof FAMILIES)[number];

/** What flannel's own structure prints for an address that is not given. */
const UNSET_ADDRESS = '0.0.0.0';

const KNOWN_KEYS = [
  'EnableNFTables',
  'Backend',
  ...FAMILIES.flatMap(({ enable, network, min, max, length }) => [enable, network, min, max, length]),
];

/** Parses the text of the document. All its problems are reported, not only the first. */
export function parseNetworkConfig(text: string): Checked<NetworkConfig> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    // The parser's message quotes some of it.
    const rule = holdsSecret(text) ? 'has to be JSON' : `has to be JSON: ${printable(messageOf(error))}`;
    return broken([{ key: 'the document', value: text, rule }]);
  }
  if (!isObject(parsed)) {
    return broken([
      {
        key: 'the document',
        value: parsed,
        rule: 'has to be a JSON object such as {"Network": "10.5.0.0/16"}',
      },
    ]);
  }
  const document = new Document(parsed);
  const problems: Problem[] = [];
  const ranges = FAMILIES.flatMap((keys) => rangeOf(document, keys, problems));
  if (problems.length === 0 && ranges.length === 0) {
    problems.push({
      key: 'EnableIPv4',
      value: false,
      rule: 'at least one of EnableIPv4 and EnableIPv6 has to be true',
    });
  }
  document.boolean('EnableNFTables', problems);
  const backend = backendOf(document, problems);
  return {
    value: problems.length === 0 ? { ranges, backend } : undefined,
    problems,
    unknownKeys: [...document.keysBut(KNOWN_KEYS), ...unused(document)],
  };
}

/** Networks of a family that is not enabled. */
function unused(document: Document): string[] {
  return FAMILIES.filter(
    ({ enable, enabledByDefault, network }) =>
      document.get(network) !== undefined && (document.get(enable) ?? enabledByDefault) === false,
  ).map(({ enable, network }) => `${network} (${enable} is not true)`);
}

/** Each once, IPv4 first. */
export function familiesOf(ranges: readonly SubnetRange[]): Family[] {
  return ([4, 6] as const).filter((family) => ranges.some(({ network }) => network.family === family));
}

/** In words: `10.5.0.0/16, subnets of /24 from 10.5.1.0 to 10.5.255.0; backend udp`. */
export function describeNetwork({ ranges, backend }: NetworkConfig): string {
  const texts = ranges.map(
    ({ network, subnetLen, subnetMin, subnetMax }) =>
      `${network}, subnets of /${subnetLen} from ${subnetMin} to ${subnetMax}`,
  );
  return `${texts.join('; ')}; backend ${printable(backend.type)}`;
}

/** One line for a log or a terminal. */
export function formatProblem({ key, value, rule }: Problem): string {
  const shown = value === undefined ? '' : ` is ${jsonOf(value)}:`;
  return `${key}${shown} ${printable(rule)}`;
}

/** The error of a document that breaks rules; `where` names it. */
export function networkConfigError(where: string, problems: readonly Problem[]): CorduroyError {
  return new CorduroyError(
    'network-config',
    `${where} is not valid: ${problems.map(formatProblem).join('; ')}`,
  );
}

function rangeOf(document: Document, keys: FamilyKeys, problems: Problem[]): SubnetRange[] {
  if (!(document.boolean(keys.enable, problems) ?? keys.enabledByDefault)) return [];
  const network = document.parsed(keys.network, problems, Prefix.parseMasked);
  if (network === undefined) {
    if (document.get(keys.network) === undefined) {
      problems.push({
        key: keys.network,
        value: undefined,
        rule: `is missing: name the range of IPv${keys.family} addresses, in CIDR form`,
      });
    }
    return [];
  }
  const fail = (key: string, rule: string): SubnetRange[] => {
    problems.push({ key, value: document.get(key) ?? undefined, rule });
    return [];
  };
  if (network.family !== keys.family) return fail(keys.network, `has to be an IPv${keys.family} network`);
  const special = SPECIAL_NETWORKS.find(({ block }) => block.covers(network));
  if (special !== undefined) {
    const { block, use } = special;
    return fail(keys.network, `lies in ${block}, which is for ${use}: take another, such as ${keys.example}`);
  }
  if (network.length > keys.longestNetwork) {
    return fail(keys.network, `may be no smaller than a /${keys.longestNetwork}`);
  }
  const given = document.integer(keys.length, problems) || undefined;
  if (given === undefined && document.get(keys.length)) return [];
  // Flannel: 0 counts as not given; the usual length where at least four such subnets fit, else the longest network of four.
  const subnetLen =
    given ?? (network.length <= keys.defaultLength - 2 ? keys.defaultLength : network.length + 2);
  if (subnetLen > keys.longestSubnet) return fail(keys.length, `has to be below ${keys.longestSubnet + 1}`);
  if (subnetLen < network.length + 2) {
    return fail(
      keys.length,
      `leaves fewer than four subnets of ${network}: it has to be at least ${network.length + 2}`,
    );
  }
  const size = 1n << BigInt(ADDRESS_BITS[keys.family] - subnetLen);
  const bound = (key: string, otherwise: Ip): Ip | undefined => {
    if (document.get(key) === undefined || document.get(key) === UNSET_ADDRESS) return otherwise;
    const ip = document.parsed(key, problems, Ip.parse);
    if (ip === undefined) return undefined;
    if (!network.contains(ip)) fail(key, `has to lie in ${network}`);
    else if (ip.value % size !== 0n)
      fail(key, `has to be the first address of a /${subnetLen}: ${Prefix.of(ip, subnetLen).address} is one`);
    else return ip;
    return undefined;
  };
  const subnetMin = bound(keys.min, network.address.plus(size));
  const subnetMax = bound(keys.max, Prefix.of(network.last, subnetLen).address);
  if (subnetMin === undefined || subnetMax === undefined) return [];
  if (subnetMin.value > subnetMax.value)
    return fail(keys.min, `has to be at or below ${keys.max}, ${subnetMax}`);
  return [{ network, subnetMin, subnetMax, subnetLen }];
}

function backendOf(document: Document, problems: Problem[]): BackendConfig {
  const given = document.get('Backend');
  if (given === undefined) return { type: 'udp', options: new Document({}) };
  if (!isObject(given)) {
    problems.push({ key: 'Backend', value: given, rule: 'has to be an object such as {"Type": "udp"}' });
    return { type: 'udp', options: new Document({}) };
  }
  const options = new Document(given, 'Backend.');
  const type = options.string('Type', problems) ?? 'udp';
  return { type: type.toLowerCase(), options };
}

function broken(problems: Problem[]): Checked<NetworkConfig> {
  return { value: undefined, problems, unknownKeys: [] };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A pre-shared key is in no message, also where quotes or braces around it are missing, or are quoted themselves. */
function holdsSecret(value: unknown): boolean {
  return typeof value === 'string' && /psk/i.test(value);
}

function hidden(key: string, value: unknown): unknown {
  if (key.toLowerCase() === 'psk') return '(hidden)';
  return holdsSecret(value) ? '(not shown, since it holds a PSK)' : value;
}

/** JSON for one line of a message; of what JSON.stringify cannot take (nesting beyond the stack), only that it is there. */
function jsonOf(value: unknown): string {
  try {
    return printable(JSON.stringify(value, hidden), 150);
  } catch {
    return 'too deeply nested';
  }
}
