import type {
  Datapath,
  EngineConfig,
  EngineStats,
  Route,
  RouteDelta,
  RouteTable,
} from '../../../src/datapath/datapath.ts';
import { CorduroyError } from '../../../src/errors.ts';
import { formatEndpoint } from '../../../src/net/endpoint.ts';

/** A data plane process that moves no packets: it keeps a table by the rules of datapath.ts, and may be ended. */
export class FakeEngine {
  config: EngineConfig | undefined;
  kind = 'native';
  build = '1.0.0';
  generation = 0n;
  readonly table = new Map<string, Route>();
  local = '';
  /** What it was asked for, such as `replace 2`, `update +1 -0`. */
  readonly calls: string[] = [];
  /** Connections that have not been closed, from either side. */
  connections = 0;
  /** The next call of this name is refused. */
  refuses: string | undefined;
  readonly pid: number;
  readonly ended: Promise<void>;
  #end: () => void = () => undefined;
  alive = true;

  constructor(pid: number) {
    this.pid = pid;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(): void {
    this.alive = false;
    this.connections = 0;
    this.#end();
  }

  get routes(): string[] {
    return [...this.table.values()].map(({ prefix, peer }) => `${prefix} ${formatEndpoint(peer)}`).sort();
  }

  connect(): Datapath {
    if (!this.alive) throw refusal('there is no data plane');
    this.connections++;
    let closeHere: () => void = () => undefined;
    const closedHere = new Promise<void>((resolve) => {
      closeHere = resolve;
    });
    return {
      hello: { engine: this.kind, build: this.build, pid: this.pid, config: this.config },
      configure: async (config) => this.#configure(config),
      replaceRoutes: async (table) => this.#replace(table),
      updateRoutes: async (delta) => this.#update(delta),
      stats: async () => this.#stats(),
      shutdown: async () => {
        this.#enter('shutdown');
        this.end();
      },
      closed: Promise.race([closedHere, this.ended]),
      close: () => {
        if (this.alive) this.connections--;
        closeHere();
      },
    };
  }

  #configure(config: EngineConfig): void {
    this.#enter('configure');
    this.config = config;
  }

  #replace({ generation, local, routes }: RouteTable): void {
    this.#enter('replace', `replace ${routes.length}`);
    this.table.clear();
    for (const route of routes) this.table.set(route.prefix.toString(), route);
    this.local = local.join(' ');
    this.generation = generation;
  }

  #update({ from, to, remove, set }: RouteDelta): void {
    this.#enter('update', `update +${set.length} -${remove.length}`);
    if (from !== this.generation) throw refusal(`the table is of generation ${this.generation}, not ${from}`);
    for (const prefix of remove) this.table.delete(prefix.toString());
    for (const route of set) this.table.set(route.prefix.toString(), route);
    this.generation = to;
  }

  #stats(): EngineStats {
    this.#enter('stats', '');
    return {
      generation: this.generation,
      routes: this.table.size,
      drops: {} as never,
      offloads: [],
      peers: [],
    };
  }

  #enter(name: string, call = name): void {
    if (!this.alive) throw refusal('the data plane has closed the connection');
    if (call !== '') this.calls.push(call);
    if (this.refuses !== name) return;
    this.refuses = undefined;
    throw refusal(`${name} was refused by a test`);
  }
}

function refusal(message: string): CorduroyError {
  return new CorduroyError('datapath', message, { retryable: true });
}
