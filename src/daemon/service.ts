import { join } from 'node:path';
import { FLAGS, type FlagName, type FlagValues } from '../config/flags.ts';
import { RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { notifySystemd, ServiceNotifier, statusText, watchdogInterval } from '../observe/systemd.ts';
import { VERSION } from '../version.ts';
import { lockInstance, lockPath, type Reloaded, requireUnserved, serveControl } from './control-server.ts';
import { DaemonRun, type Prepared, prepare } from './daemon-run.ts';
import { obeyHangups } from './hangups.ts';
import { HealthEndpoint } from './health-endpoint.ts';
import type { StatusDocument } from './status.ts';
import { statusReport } from './status-report.ts';

/** Settings that the process as a whole is bound to. */
const FIXED: readonly FlagName[] = ['instance', 'run-dir'];
/** Milliseconds: longer than all that a round may wait for, one after the other. Beyond that it hangs. */
const LONGEST_ROUND = 5 * 60_000;

/** A change of settings that has been agreed to. */
interface Change {
  readonly prepared: Prepared;
  /** The daemon runs under them now, or will not any more. */
  readonly done: () => void;
}

const now = () => performance.now();

/**
 * The process of a daemon: what lasts while its settings change. It holds the lock and the sockets, obeys signals, tells
 * systemd how things are, and puts another DaemonRun in place of the one there is when there are new settings. To the
 * data plane that is a restart: packets flow.
 */
export class Service {
  readonly #readOptions: () => Options;
  readonly #startedAt = new Date();
  readonly #notifier: ServiceNotifier;
  readonly #health: HealthEndpoint;
  #run: DaemonRun;
  #change: Change | undefined;
  /** Reloads, one after the other. */
  #reloads: Promise<unknown> = Promise.resolve();
  /** Why the settings that were last read are not in use. */
  #refusal: string | undefined;
  /** Asked to stop: no other daemon takes the place of the one there is. */
  #stopping = false;
  #ending = false;
  /** What is said of a process that has ended. */
  #lastWord = 'stopped';
  #told: Promise<void> | undefined;

  /**
   * @param readOptions reads the settings, which may be others each time
   * @throws CorduroyError as `prepare`
   */
  constructor(options: Options, readOptions: () => Options) {
    this.#readOptions = readOptions;
    this.#run = this.#create(prepare(options));
    this.#notifier = new ServiceNotifier(notifySystemd, (text) => this.#run.log.warn(text));
    this.#health = new HealthEndpoint(() => this.#run.daemon.ready);
  }

  /**
   * Runs until it is asked to stop, over the socket or by a signal. The data plane goes on.
   * @throws CorduroyError `held` when another runs, or has a port of its; a defect
   */
  async run(): Promise<void> {
    const { runDir, names, flags } = this.#run.options;
    const socketPath = join(runDir, RUN_FILES.daemonSocket);
    this.#run.log.info(`corduroyd ${VERSION} starting, etcd at ${flags['etcd-endpoints'].join(', ')}`);
    await requireUnserved(socketPath);
    const lock = await lockInstance(lockPath(names.linkMark));
    const control = await serveControl(socketPath, {
      status: () => this.#status(),
      reload: () => this.reload(),
      stop: (release) => this.#stop(release),
      rotateWireguardKey: () => this.#run.rotateWireguardKey(),
    });
    await this.#health.moveTo(flags);
    this.#obeySignals();
    const watchdog = this.#feedWatchdog();

    await this.#runInTurn();
    clearInterval(watchdog);
    control.close();
    lock.close();
    this.#health.close();
    await this.#told;
    this.#run.log.info(this.#lastWord);
  }

  /**
   * Reads the settings again. Good ones that differ are taken up before this resolves, bad ones leave everything as it is.
   *
   * @throws CorduroyError `usage` saying what is wrong with them
   */
  reload(): Promise<Reloaded> {
    const reloading = this.#reloads.then(() => this.#reload());
    this.#reloads = reloading.catch(() => undefined);
    return reloading;
  }

  async #runInTurn(): Promise<void> {
    for (;;) {
      this.#tell();
      await this.#run.run();
      const change = this.#change;
      this.#change = undefined;
      if (change !== undefined && !this.#ending) this.#run = this.#create(change.prepared);
      else await change?.prepared.store.close();
      change?.done();
      if (change === undefined || this.#ending) return;
    }
  }

  #create(prepared: Prepared): DaemonRun {
    return new DaemonRun(prepared, now, () => this.#tell());
  }

  async #reload(): Promise<Reloaded> {
    const { log } = this.#run;
    try {
      const options = this.#readOptions();
      const changed = changedFlags(this.#run.options.flags, options.flags);
      requireChangeable(changed);
      if (changed.length === 0) log.info('settings read again: nothing has changed');
      else {
        log.info(`settings read again, changed: ${changed.join(', ')}`);
        await this.#replace(options);
      }
      this.#refusal = undefined;
      return { changed };
    } catch (error) {
      log.error(`settings read again, and refused; those before stay in use: ${messageOf(error)}`);
      this.#refusal = `the settings were read again and are refused, those before stay in use: ${messageOf(error)}`;
      throw error;
    } finally {
      this.#tell();
    }
  }

  async #replace(options: Options): Promise<void> {
    if (this.#ending || this.#stopping)
      throw new CorduroyError('daemon-refused', 'corduroyd is about to end');
    const prepared = prepare(options);
    try {
      await this.#health.moveTo(options.flags);
    } catch (error) {
      await prepared.store.close();
      throw error;
    }
    await new Promise<void>((done) => {
      this.#change = { prepared, done };
      this.#run.end();
    });
  }

  async #stop(release: boolean): Promise<void> {
    this.#run.log.info(`asked to stop${release ? ' and to give the lease back' : ''}`);
    await this.#stopDaemon(release);
    this.#end('asked');
  }

  /** A reload that has begun comes first: the daemon that it makes would take back the lease that was given back. */
  async #stopDaemon(release: boolean): Promise<void> {
    this.#stopping = true;
    try {
      await this.#reloads;
      await this.#run.daemon.stop(release);
    } catch (error) {
      this.#stopping = false;
      throw error;
    }
  }

  #end(why: 'signal' | 'asked'): void {
    if (this.#ending) return;
    this.#ending = true;
    if (why === 'signal' && this.#run.daemon.datapath.isRunning) {
      this.#lastWord = 'stopped; the data plane goes on forwarding (corduroy down removes it)';
    }
    this.#told = this.#notifier.stopping(this.#lastWord);
    this.#run.end();
  }

  /** SIGHUP has the settings read again. The first signal to end asks for an orderly end; the second does not wait. */
  #obeySignals(): void {
    let asked = false;
    obeyHangups(() => {
      this.reload().catch(() => undefined); // It is in the log, and in the status.
    });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(1);
        asked = true;
        const { log, options } = this.#run;
        log.info(`${signal}: stopping`);
        const released = options.flags['release-on-exit'] ? this.#stopDaemon(true) : Promise.resolve();
        released
          .catch((error: unknown) => log.warn(`the lease was not given back: ${messageOf(error)}`))
          .finally(() => this.#end('signal'));
      });
    }
  }

  /** Signs of life for as long as the event loop turns, and rounds begin and end. */
  #feedWatchdog(): NodeJS.Timeout | undefined {
    const interval = watchdogInterval(process.env, process.pid);
    if (interval === undefined) return undefined;
    return setInterval(() => {
      if (now() - this.#run.daemon.progressAt < LONGEST_ROUND) void this.#notifier.live();
    }, interval);
  }

  #tell(): void {
    const { daemon } = this.#run;
    const network = `${daemon.leases.subnets.join(' and ')}, peers: ${daemon.peers.length}`;
    this.#notifier.tell({ ready: daemon.ready, status: statusText(daemon.ready, network, this.#problems) });
  }

  async #status(): Promise<StatusDocument> {
    const { daemon, options } = this.#run;
    const report = await statusReport(daemon, options, this.#startedAt, now());
    return this.#refusal === undefined
      ? report
      : { ...report, problems: [this.#refusal, ...report.problems] };
  }

  get #problems(): string[] {
    const { problems } = this.#run.daemon;
    return this.#refusal === undefined ? problems : [this.#refusal, ...problems];
  }
}

/** Which flags have another value. */
function changedFlags(before: FlagValues, after: FlagValues): FlagName[] {
  const names = Object.keys(FLAGS) as FlagName[];
  return names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
}

function requireChangeable(changed: readonly FlagName[]): void {
  const fixed = changed.filter((name) => FIXED.includes(name));
  if (fixed.length === 0) return;
  const flags = fixed.map((name) => `--${name}`).join(', ');
  throw new CorduroyError(
    'usage',
    `${flags} cannot change while corduroyd runs: restart it, or take that back`,
  );
}
