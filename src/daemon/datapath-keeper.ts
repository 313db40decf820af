import type { DatapathState } from '../backend/backend.ts';
import type { Datapath, EngineConfig, EngineStats, Route, RouteDelta } from '../datapath/datapath.ts';
import { CorduroyError, isCode, messageOf } from '../errors.ts';
import { formatEndpoint } from '../net/endpoint.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Log } from '../observe/log.ts';

export interface DatapathKeeperOptions {
  /** Connects to a running engine; rejects with `datapath`, retryable when there is none. */
  readonly connect: () => Promise<Datapath>;
  /** Starts an engine for the TUN device, and waits until it answers. */
  readonly launch: (tunName: string) => Promise<unknown>;
  /** Called when an engine that was in use has gone. */
  readonly onGone: () => void;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Milliseconds: an engine that lives longer had no fault at its start. */
const SHORT_LIFE = 5000;
const LONGEST_PAUSE = 10_000;
const OTHER_TABLE = 'the data plane holds a table that this daemon did not send: sending it the whole table';

/** Keeps one data plane running, configured, and holding the routes it should: adopts it, or starts it. */
export class DatapathKeeper {
  readonly #options: DatapathKeeperOptions;
  #engine: Datapath | undefined;
  #launchedAt = Number.NEGATIVE_INFINITY;
  /** Since an engine last proved to live. */
  #launches = 0;
  /** What the engine holds; `undefined`: unknown, it is sent the whole table. */
  #held:
    | { readonly generation: bigint; readonly local: string; readonly routes: ReadonlyMap<string, Route> }
    | undefined;

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

  /** @throws CorduroyError `datapath` when no engine can be brought to hold this state */
  async ensure(state: DatapathState): Promise<void> {
    const engine = await this.#ensureEngine(state);
    await this.#ensureRoutes(engine, state);
    if (this.#options.now() - this.#launchedAt > SHORT_LIFE) this.#launches = 0;
  }

  async stats(): Promise<EngineStats | undefined> {
    return this.#engine?.stats();
  }

  /** Lets go of the engine; it goes on forwarding. */
  release(): void {
    const engine = this.#engine;
    this.#forget();
    engine?.close();
  }

  async #ensureEngine({ config }: DatapathState): Promise<Datapath> {
    if (this.#engine !== undefined && sameConfig(this.#engine.hello.config, config)) return this.#engine;
    this.release();
    const engine = (await this.#adopt(config)) ?? (await this.#start(config));
    this.#supervise(engine);
    return engine;
  }

  /** The engine that runs, if any; one that holds another configuration is shut down instead. */
  async #adopt(config: EngineConfig): Promise<Datapath | undefined> {
    const { connect, log } = this.#options;
    const engine = await connect().catch((error: unknown) => {
      // Nobody listens. An engine that hangs, or speaks another version, is said and not replaced behind its back.
      if (isCode(error, 'datapath') && error.retryable) return undefined;
      throw error;
    });
    if (engine === undefined) return undefined;
    const { engine: name, pid, config: held } = engine.hello;
    if (sameConfig(held, config)) {
      log.info(`adopted the running data plane (${name}, pid ${pid})`);
      return engine;
    }
    try {
      if (held === undefined) return await this.#configure(config);
      log.info(`the data plane (pid ${pid}) has another configuration: replacing it`);
      await engine.shutdown();
      await engine.closed;
      return undefined;
    } finally {
      engine.close();
    }
  }

  async #start(config: EngineConfig): Promise<Datapath> {
    this.#pace();
    await this.#options.launch(config.tunName);
    const engine = await this.#configure(config);
    this.#options.log.info(`started the data plane (${engine.hello.engine}, pid ${engine.hello.pid})`);
    return engine;
  }

  /** An engine that ends soon after its start is started again less and less often. @throws CorduroyError `datapath` */
  #pace(): void {
    const now = this.#options.now();
    const pause = this.#launches < 2 ? 0 : Math.min(250 * 2 ** this.#launches, LONGEST_PAUSE);
    if (now - this.#launchedAt < pause) {
      const text = `the data plane has ended ${this.#launches} times soon after its start: its log says why`;
      throw new CorduroyError('datapath', `${text} (datapath.log in the run-dir)`, { retryable: true });
    }
    this.#launches++;
    this.#launchedAt = now;
  }

  async #configure(config: EngineConfig): Promise<Datapath> {
    const { connect, log } = this.#options;
    const idle = await connect();
    try {
      await idle.configure(config);
    } finally {
      idle.close();
    }
    log.info(`the data plane listens on ${formatEndpoint(config.listen)}, MTU ${config.mtu}`);
    return connect(); // A fresh greeting tells what the engine now holds.
  }

  #supervise(engine: Datapath): void {
    this.#engine = engine;
    void engine.closed.then(() => {
      if (this.#engine !== engine) return;
      this.#options.log.error(`the data plane (pid ${engine.hello.pid}) has gone: starting it again`);
      this.#forget();
      this.#options.onGone();
    });
  }

  async #ensureRoutes(engine: Datapath, { local, routes }: DatapathState): Promise<void> {
    const wanted = new Map(routes.map((route) => [formatRoute(route), route]));
    const localText = local.join(' ');
    const held = this.#held;
    try {
      if (held === undefined || held.local !== localText) {
        const generation = (held?.generation ?? (await engine.stats()).generation) + 1n;
        await engine.replaceRoutes({ generation, local, routes });
        this.#held = { generation, local: localText, routes: wanted };
        return;
      }
      const delta = difference(held.routes, wanted, held.generation);
      if (delta === undefined) {
        // Asking is also how an engine that hangs, or was given another table by somebody else, is noticed.
        const { generation } = await engine.stats();
        if (generation !== held.generation)
          throw new CorduroyError('datapath', OTHER_TABLE, { retryable: true });
        return;
      }
      await engine.updateRoutes(delta);
      this.#held = { generation: delta.to, local: localText, routes: wanted };
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

/** What leads from one set of routes (by their texts) to another; `undefined` when they are equal. */
export function difference(
  from: ReadonlyMap<string, Route>,
  to: ReadonlyMap<string, Route>,
  generation: bigint,
): RouteDelta | undefined {
  const set = [...to].filter(([text]) => !from.has(text)).map(([, route]) => route);
  const kept = new Set([...to.values()].map(({ prefix }) => prefix.toString()));
  const remove: Prefix[] = [...from.values()]
    .map(({ prefix }) => prefix)
    .filter((prefix) => !kept.has(prefix.toString()));
  return set.length === 0 && remove.length === 0
    ? undefined
    : { from: generation, to: generation + 1n, remove, set };
}

function formatRoute({ prefix, peer }: Route): string {
  return `${prefix} ${formatEndpoint(peer)}`;
}

function sameConfig(one: EngineConfig | undefined, other: EngineConfig): boolean {
  return one !== undefined && formatConfig(one) === formatConfig(other);
}

function formatConfig({ tunName, mtu, listen, icmpSources, strictSource }: EngineConfig): string {
  return [tunName, mtu, formatEndpoint(listen), icmpSources.join(','), strictSource].join(' ');
}
