import { run } from './exec.ts';
import {
  type Hint,
  IP_MONITOR,
  IpHints,
  NFT_MONITOR,
  nftHint,
  type Surroundings,
  type Watched,
} from './hints.ts';
import { keepListening, type ToolLog } from './listening-tool.ts';
import { Throttle } from './throttle.ts';

export interface MonitorOptions extends Watched {
  /** Whether there is to be a table of that name, and a chain. */
  readonly masquerade: boolean;
  readonly forward: boolean;
  readonly log: ToolLog;
}

export interface MonitorSubject extends Surroundings {
  readonly onHint: (hint: Hint) => void;
}

/** Milliseconds that the changes of one command have to come to an end, before anybody looks at them. */
const HINT_AFTER = 20;
/** Milliseconds between two hints of a kind while somebody changes things for ever. */
const HINT_EVERY = 1000;

/**
 * Hears of changes on the host from `ip monitor` and `nft monitor`. Where something may have been missed (a tool has just
 * started or has ended, the kernel's buffer ran over), it hints at all of it.
 */
export class HostMonitor {
  readonly #options: MonitorOptions;
  #hearsIp = false;
  #hearsNft = false;
  /** iptables-legacy keeps its rules where nft cannot see them. */
  #isLegacy = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Whether a change would be hinted at. Where it would not, somebody has to look every few seconds. */
  sees(hint: Hint): boolean {
    const { masquerade, forward } = this.#options;
    if (hint !== 'firewall') return this.#hearsIp;
    if (!masquerade && !forward) return true;
    return this.#hearsNft && !(forward && this.#isLegacy);
  }

  /** Runs until the signal aborts; resolves when the tools are gone. Never rejects. */
  async run(subject: MonitorSubject, signal: AbortSignal): Promise<void> {
    const { masquerade, forward } = this.#options;
    const throttles = {
      host: new Throttle(() => subject.onHint('host'), HINT_AFTER, HINT_EVERY),
      firewall: new Throttle(() => subject.onHint('firewall'), HINT_AFTER, HINT_EVERY),
      interface: new Throttle(() => subject.onHint('interface'), HINT_AFTER, HINT_EVERY),
    };
    const ask = (hint: Hint | undefined): void => {
      if (hint !== undefined && !signal.aborted) throttles[hint].ask();
    };
    await Promise.all([
      this.#listenToIp(subject, ask, signal),
      masquerade || forward ? this.#listenToNft(ask, signal) : undefined,
    ]);
    for (const throttle of Object.values(throttles)) throttle.stop();
  }

  async #listenToIp(
    surroundings: Surroundings,
    ask: (hint: Hint | undefined) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const askAll = () => {
      ask('host');
      ask('interface');
    };
    const tool = {
      command: 'ip',
      args: IP_MONITOR,
      hearsOf: 'links and routes',
      reader: () => {
        const hints = new IpHints(this.#options, surroundings);
        return (line: string) => ask(hints.read(line));
      },
      onHearing: (hears: boolean) => {
        this.#hearsIp = hears;
        askAll();
      },
      onLoss: askAll,
    };
    await keepListening(tool, this.#options.log, signal);
  }

  async #listenToNft(ask: (hint: Hint | undefined) => void, signal: AbortSignal): Promise<void> {
    const { forward, log } = this.#options;
    if (forward && (await isLegacy())) {
      this.#isLegacy = true;
      log.info('iptables is the legacy one here: changes of its rules are looked for every few seconds');
    }
    const tool = {
      command: 'nft',
      args: NFT_MONITOR,
      hearsOf: 'firewall rules',
      reader: () => (line: string) => ask(nftHint(line, this.#options)),
      onHearing: (hears: boolean) => {
        this.#hearsNft = hears;
        ask('firewall');
      },
      onLoss: () => ask('firewall'),
    };
    await keepListening(tool, log, signal);
  }
}

/** Versions before 1.8 do not say which they are: there was only one. */
async function isLegacy(): Promise<boolean> {
  try {
    const { code, stdout } = await run('iptables', ['-V'], { allowFailure: true });
    return code === 0 && !stdout.includes('nf_tables');
  } catch {
    return false; // There is none: whoever wants to set rules says so.
  }
}
