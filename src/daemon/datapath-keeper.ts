import type { DatapathState } from '../backend/backend.ts';
import type { Datapath, EngineStats, Route, RouteDelta } from '../datapath/datapath.ts';
import { encodeConfig } from '../datapath/messages.ts';
import { CorduroyError, isCode, messageOf } from '../errors.ts';
import { formatEndpoint } from '../net/endpoint.ts';
import type { Log } from '../observe/log.ts';

export interface DatapathKeeperOptions {
  /** Connects to a running engine; rejects with `datapath`, retryable when there is none. */
  readonly connect: () => Promise<Datapath>;
  /** Starts an engine of the kind, and waits until it answers; it is idle then. */
  readonly launch: LaunchDatapath;
  /** Whether the engine that runs is known to have been started as `launch` would. */
  readonly isLaunchedFor?: ((wanted: WantedEngine) => boolean) | undefined;
  /** The version of the engine that `launch` starts. */
  readonly build: string;
  /** Called when an engine that was in use has gone. */
  readonly onGone: () => void;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export type WantedEngine = Pick<DatapathState, 'engine' | 'config'>;
export type LaunchDatapath = (wanted: WantedEngine) => Promise<unknown>;

/** Milliseconds: an engine that lives longer had no fault at its start. */
const SHORT_LIFE = 500;
const LONGEST_PAUSE = 10_000;
/** In place of the local subnets of a table that an earlier daemon sent: no text of subnets. */
const UNREAD = '?';
const OTHER_TABLE = 'the data plane holds a table that this daemon did not send: sending it the whole table';

/** Keeps one data plane running, configured, and holding the routes it should: adopts it, or starts it. */
export class DatapathKeeper {
  readonly #options: DatapathKeeperOptions;
  #engine: Datapath | undefined;
  #launchedAt = Number.NEGATIVE_INFINITY;
  /** Since an engine last proved to live. */
  #launches = 0;
  /** What the last engine was started for; an idle one that was not is of a daemon that is gone. */
  #launchedFor: string | undefined;
  /** Why the last start failed; `undefined`: it did not. */
  #failure: string | undefined;
  /** What the engine holds; `undefined`: unknown, it is sent the whole table. */
  #held:
    | { readonly generation: bigint; readonly local: string; readonly routes: readonly Route[] }
    | undefined;

  /** It was seen to it that none runs. */
  #isEnded = false;

  constructor(options: DatapathKeeperOptions) {
    this.#options = options;
  }

  get engine(): Datapath | undefined {
    return this.#engine;
  }

  /** An engine is connected, and held its table when it was last asked. */
  get isRunning(): boolean {
    return this.#engine !== undefined && this.#held !== undefined;
  }

  /**
   * @param isRemembered the routes are from before this daemon started: those of an engine that runs are as new or newer
   * @throws CorduroyError `datapath` when no engine can be brought to hold this state
   */
  async ensure(state: DatapathState, isRemembered = false): Promise<void> {
    this.#isEnded = false;
    const engine = await this.#ensureEngine(state);
    if (!(isRemembered && (await this.#leaveRoutes(engine)))) await this.#ensureRoutes(engine, state);
    this.#forgive();
  }

  async stats(): Promise<EngineStats | undefined> {
    return this.#engine?.stats();
  }

  /** No data plane is wanted: one that runs, of this daemon or an earlier one, ends. @throws CorduroyError `datapath` */
  async end(): Promise<void> {
    if (this.#isEnded) return;
    const engine = this.#engine ?? (await this.#connect());
    this.#forget();
    if (engine !== undefined) {
      await endEngine(engine);
      engine.close();
      this.#options.log.info(`ended the data plane (pid ${engine.hello.pid}): the kernel forwards`);
    }
    this.#isEnded = true;
  }

  /** Lets go of the engine; it goes on forwarding. */
  release(): void {
    const engine = this.#engine;
    this.#forget();
    engine?.close();
  }

  async #ensureEngine(state: DatapathState): Promise<Datapath> {
    if (this.#engine !== undefined && isConfigured(this.#engine, state)) return this.#engine;
    this.release();
    const engine = (await this.#adopt(state)) ?? (await this.#start(state));
    this.#supervise(engine);
    return engine;
  }

  /** The engine that runs, if any; one of another kind, or with another configuration, is shut down instead. */
  async #adopt(state: DatapathState): Promise<Datapath | undefined> {
    const { log } = this.#options;
    const engine = await this.#connect();
    if (engine === undefined) return undefined;
    const { engine: name, build, pid, config: held } = engine.hello;
    if (isConfigured(engine, state)) {
      const other = build === this.#options.build ? '' : otherBuild(build, this.#options.build);
      log.info(`adopted the running data plane (${name}, pid ${pid})${other}`);
      return engine;
    }
    try {
      const sameKind = name === state.engine;
      const isIdle = sameKind && held === undefined;
      if (isIdle && this.#isLaunchedFor(state)) return await this.#configure(state);
      const how = isIdle
        ? 'is idle, and was started by somebody else, perhaps otherwise'
        : sameKind
          ? 'has another configuration'
          : `is ${name}, and ${state.engine} is wanted`;
      log.info(`the data plane (pid ${pid}) ${how}: replacing it`);
      await endEngine(engine);
      return undefined;
    } finally {
      engine.close();
    }
  }

  /** @returns `undefined` when none runs */
  async #connect(): Promise<Datapath | undefined> {
    return await this.#options.connect().catch((error: unknown) => {
      // Nobody listens. An engine that hangs, or speaks another version, is said and not replaced behind its back.
      if (isCode(error, 'datapath') && error.retryable) return undefined;
      throw error;
    });
  }

  #isLaunchedFor(state: DatapathState): boolean {
    return this.#launchedFor === commandOf(state) || this.#options.isLaunchedFor?.(state) === true;
  }

  async #start(state: DatapathState): Promise<Datapath> {
    this.#pace();
    const engine = await this.#launch(state);
    this.#options.log.info(`started the data plane (${engine.hello.engine}, pid ${engine.hello.pid})`);
    return engine;
  }

  async #launch(state: DatapathState): Promise<Datapath> {
    this.#failure = undefined;
    this.#launchedFor = commandOf(state);
    try {
      await this.#options.launch(state);
      return await this.#configure(state);
    } catch (error) {
      this.#failure = messageOf(error);
      throw error;
    }
  }

  /** An engine that ends soon after its start is started again less and less often. @throws CorduroyError `datapath` */
  #pace(): void {
    const now = this.#options.now();
    const pause = this.#launches < 2 ? 0 : Math.min(250 * 2 ** this.#launches, LONGEST_PAUSE);
    if (now - this.#launchedAt < pause) {
      const why = this.#failure ?? 'its log says why (datapath.log in the run-dir)';
      const text = `the data plane did not start, or ended soon after, ${this.#launches} times: ${why}`;
      throw new CorduroyError('datapath', text, { retryable: true });
    }
    this.#launches++;
    this.#launchedAt = now;
  }

  /** An engine that has lived for a while was started as it should be: the next one is not kept waiting. */
  #forgive(): void {
    if (this.#options.now() - this.#launchedAt > SHORT_LIFE) this.#launches = 0;
  }

  async #configure(state: DatapathState): Promise<Datapath> {
    const { connect, log } = this.#options;
    const { config } = state;
    const idle = await connect();
    try {
      await idle.configure(config);
    } finally {
      idle.close();
    }
    log.info(`the data plane listens on ${formatEndpoint(config.listen)}, MTU ${config.mtu}`);
    const engine = await connect(); // A fresh greeting tells what the engine now holds.
    if (isConfigured(engine, state)) return engine;
    engine.close();
    // Else every round would take it for the wrong one, and replace it.
    throw new CorduroyError(
      'datapath',
      `the data plane (${engine.hello.engine} ${engine.hello.build}) that was started for ${state.engine} does not hold what it ` +
        'was configured with: install the same version of all programs',
    );
  }

  #supervise(engine: Datapath): void {
    this.#engine = engine;
    void engine.closed.then(() => {
      if (this.#engine !== engine) return;
      this.#forgive();
      this.#options.log.error(`the data plane (pid ${engine.hello.pid}) has gone: starting it again`);
      this.#forget();
      this.#options.onGone();
    });
  }

  /** @returns whether the engine holds a table, which is left as it is */
  async #leaveRoutes(engine: Datapath): Promise<boolean> {
    if (this.#held !== undefined && this.#held.local !== UNREAD) return false;
    const { generation } = await engine.stats();
    if (generation === 0n) return false;
    this.#held = { generation, local: UNREAD, routes: [] };
    return true;
  }

  async #ensureRoutes(engine: Datapath, { local, routes }: DatapathState): Promise<void> {
    const localText = local.join(' ');
    const held = this.#held;
    try {
      if (held === undefined || held.local !== localText) {
        const generation = (held?.generation ?? (await engine.stats()).generation) + 1n;
        await engine.replaceRoutes({ generation, local, routes });
        this.#held = { generation, local: localText, routes };
        return;
      }
      const delta = difference(held.routes, routes, held.generation);
      if (delta === undefined) {
        // Asking is also how an engine that hangs, or was given another table by somebody else, is noticed.
        const { generation } = await engine.stats();
        if (generation !== held.generation)
          throw new CorduroyError('datapath', OTHER_TABLE, { retryable: true });
        return;
      }
      await engine.updateRoutes(delta);
      this.#held = { generation: delta.to, local: localText, routes };
    } catch (error) {
      this.#held = undefined; // Whatever happened, the whole table sets it right.
      this.#options.log.debug(`the routes were not taken: ${messageOf(error)}`);
      throw error;
    }
  }

  #forget(): void {
    this.#engine = undefined;
    this.#held = undefined;
  }
}

/**
 * What leads from one set of routes to another, each of which has no prefix twice; `undefined` when they are equal.
 *
 * Of thousands of routes one has changed, usually, and the others are the very same objects in the same order: those at
 * the beginning and at the end are passed over without a look at their prefixes.
 */
export function difference(
  from: readonly Route[],
  to: readonly Route[],
  generation: bigint,
): RouteDelta | undefined {
  const shorter = Math.min(from.length, to.length);
  let start = 0;
  while (start < shorter && from[start] === to[start]) start++;
  let end = 0;
  while (end < shorter - start && from.at(-1 - end) === to.at(-1 - end)) end++;
  const before = byPrefix(from.slice(start, from.length - end));
  const after = byPrefix(to.slice(start, to.length - end));

  const set = [...after]
    .filter(([prefix, route]) => !isSame(before.get(prefix), route))
    .map(([, route]) => route);
  const remove = [...before].filter(([prefix]) => !after.has(prefix)).map(([, { prefix }]) => prefix);
  return set.length === 0 && remove.length === 0
    ? undefined
    : { from: generation, to: generation + 1n, remove, set };
}

function byPrefix(routes: readonly Route[]): Map<string, Route> {
  return new Map(routes.map((route) => [route.prefix.toString(), route]));
}

/** Whether two routes of the same prefix lead to the same endpoint. Most are one object: a backend makes a route once. */
function isSame(one: Route | undefined, other: Route): boolean {
  if (one === other) return true;
  return one?.peer.port === other.peer.port && one.peer.address.equals(other.peer.address);
}

/** What an engine is told by its command line already. */
function commandOf({ engine, config: { tunName, queues, offload } }: DatapathState): string {
  return [engine, tunName, queues, offload].join(' ');
}

/** Whether the engine is of the kind that is wanted, and holds the configuration that is. */
function isConfigured({ hello }: Datapath, { engine, config }: DatapathState): boolean {
  const { config: held } = hello;
  // One configuration has one encoding.
  return (
    hello.engine === engine &&
    held !== undefined &&
    Buffer.compare(encodeConfig(held), encodeConfig(config)) === 0
  );
}

/** Resolves when the engine has ended. One whose device was taken away ends by itself, perhaps before it answers. */
async function endEngine(engine: Datapath): Promise<void> {
  const ended = engine.closed.then(() => true);
  try {
    await engine.shutdown();
  } catch (error) {
    const moment = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50));
    if (!(await Promise.race([ended, moment]))) throw error;
  }
  await ended;
}

function otherBuild(build: string, installed: string): string {
  return `. It is of version ${build}, and ${installed} is installed: corduroy datapath restart replaces it`;
}
