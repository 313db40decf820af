import { existsSync } from 'node:fs';
import { CorduroyError } from '../errors.ts';
import { formatEndpoint } from '../net/endpoint.ts';
import { run } from './exec.ts';
import type { WireguardLink } from './state.ts';
import { type ObservedWireguard, parseWireguardDump } from './wireguard-dump.ts';
import { startWireguardGo, wireguardGoSocket } from './wireguard-go.ts';
import { planWireguard } from './wireguard-plan.ts';

export interface WireguardOptions {
  /** Run wireguard-go as a service of systemd, so that it outlives the daemon's; else as a process of its own session. */
  readonly asService: boolean;
}

/** Makes WireGuard devices, and keeps key, port and peers of them right. */
export class WireguardDevices {
  readonly #options: WireguardOptions;
  /** The endpoints that were wished last, by device and public key. */
  readonly #endpoints = new Map<string, ReadonlyMap<string, string>>();
  #carrier: WireguardCarrier | undefined;

  constructor(options: WireguardOptions) {
    this.#options = options;
  }

  /** What carries the packets of the device that was last brought about; absent: none was. */
  get carrier(): WireguardCarrier | undefined {
    return this.#carrier;
  }

  /**
   * Makes a device that is not there: by the kernel, or by wireguard-go where that cannot. It bears the mark, is down, and
   * has neither key nor peers. wireguard-go's is a link of kind `tun`.
   *
   * @param mark alias of the links Corduroy made
   * @throws CorduroyError `host-command` saying what to install or load
   */
  async create(name: string, mark: string): Promise<void> {
    const { code, stderr } = await run('ip', ['link', 'add', 'name', name, 'type', 'wireguard'], {
      allowFailure: true,
    });
    if (code !== 0) {
      if (!UNKNOWN_KIND.test(stderr)) throw failure(`the device ${name} cannot be made`, stderr);
      await startWireguardGo(name, this.#options.asService);
    }
    await run('ip', ['link', 'set', 'dev', name, 'alias', mark]);
  }

  /**
   * Gives a device that is there its key, port and peers: what differs is changed, and nothing else is touched.
   * @returns what was changed, one line each, without secrets; empty when all was right
   * @throws CorduroyError `host-command`
   */
  async ensure(link: WireguardLink): Promise<string[]> {
    const { name } = link;
    const { config, stale, changes } = planWireguard(link, await readDevice(name), {
      endpoints: this.#endpoints.get(name) ?? new Map(),
      now: Date.now() / 1000,
    });
    if (config !== undefined) await addConfig(link, config.reveal());
    for (let at = 0; at < stale.length; at += REMOVED_AT_ONCE) {
      const peers = stale.slice(at, at + REMOVED_AT_ONCE).flatMap((key) => ['peer', key, 'remove']);
      await run('wg', ['set', name, ...peers]);
    }
    this.#endpoints.set(
      name,
      new Map(link.peers.map(({ publicKey, endpoint }) => [publicKey, formatEndpoint(endpoint)])),
    );
    this.#carrier = existsSync(wireguardGoSocket(name)) ? 'wireguard-go' : 'kernel';
    return [...changes];
  }
}

export type WireguardCarrier = 'kernel' | 'wireguard-go';

/** What ip says of a kind of links that the kernel does not have. */
const UNKNOWN_KIND = /unknown device type|not supported/i;
/** Peers in one command line: some 60 bytes each, of the 128 KiB that Linux takes at the least. */
const REMOVED_AT_ONCE = 1000;

/** What is printed holds the private key: it is in no error. */
async function readDevice(name: string): Promise<ObservedWireguard> {
  const { code, stdout, stderr } = await run('wg', ['show', name, 'dump'], { allowFailure: true });
  if (code !== 0) throw failure(`the WireGuard device ${name} cannot be read`, stderr);
  return parseWireguardDump(stdout);
}

/** By standard input: every user reads a command line. Node's is a socket, and `wg` opens a file: hence the pipe. */
async function addConfig({ name, port }: WireguardLink, config: string): Promise<void> {
  const script = 'cat | wg addconf "$1" /dev/stdin';
  const { code, stderr } = await run('sh', ['-c', script, 'sh', name], { input: config, allowFailure: true });
  if (code === 0) return;
  const remedy = /address (already )?in use/i.test(stderr)
    ? `. Another program has UDP port ${port} (ss -ulnp sport = :${port}), or a device that flanneld has left (ip link ` +
      'delete flannel-wg)'
    : '';
  throw failure(`the WireGuard device ${name} cannot be configured`, stderr.trim() + remedy);
}

/** @param said by ip or wg, which quotes what it does not take, and that may be a key */
function failure(what: string, said: string): CorduroyError {
  const text = said
    .trim()
    .replaceAll('\n', ', ')
    .replace(/[A-Za-z0-9+/]{43}=/g, '(key)');
  return new CorduroyError('host-command', `${what}: ${text}`, { retryable: true });
}
