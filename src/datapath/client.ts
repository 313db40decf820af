import { createConnection, type Socket } from 'node:net';
import { CorduroyError, messageOf } from '../errors.ts';
import type { Datapath, EngineConfig, EngineHello, EngineStats, RouteDelta, RouteTable } from './datapath.ts';
import { decodeError, decodeHello, decodeStats, encodeRequest, type Request } from './messages.ts';
import {
  ERROR_TYPE,
  encodeFrame,
  type Frame,
  FrameReader,
  PROTOCOL_VERSION,
  REQUEST_TYPES,
  RESPONSE_BIT,
} from './protocol.ts';

export interface ConnectOptions {
  /** For the connection and HELLO together, and for each request after it. Milliseconds; default 2000. */
  readonly timeoutMs?: number;
}

/**
 * Connects to a running data plane and greets it. `hello` is what the engine said then: a configuration in it means
 * that it was configured before, by a daemon that is gone.
 *
 * @throws CorduroyError `datapath`; retryable only when nobody listens on the socket, so that an engine may be started.
 * With every other failure (no answer in time, another version, a refusal, no permission) one may be there.
 */
export async function connectDatapath(socketPath: string, options: ConnectOptions = {}): Promise<Datapath> {
  const timeoutMs = options.timeoutMs ?? 2000;
  const started = performance.now();
  const socket = await openSocket(socketPath, timeoutMs);
  const connection = new Connection(socket, socketPath);
  try {
    const left = Math.max(1, timeoutMs - (performance.now() - started));
    const hello = connection.decode(decodeHello, await connection.ask({ kind: 'hello' }, left));
    return new DatapathClient(connection, hello, timeoutMs);
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Ends whatever data plane listens on the socket, of this version of the protocol or of another: HELLO is not needed for
 * it. Resolves when the engine has hung up, which it does by ending.
 *
 * @throws CorduroyError `datapath`; retryable only when nobody listens on the socket
 */
export async function shutdownDatapath(socketPath: string, options: ConnectOptions = {}): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 2000;
  const connection = new Connection(await openSocket(socketPath, timeoutMs), socketPath);
  try {
    try {
      await connection.ask({ kind: 'shutdown' }, timeoutMs);
    } catch (error) {
      // Version 1 granted it in its own version alone. The request has always had the same bytes.
      const spoken = connection.spokenVersion;
      if (spoken === undefined || spoken === PROTOCOL_VERSION) throw error;
      await connection.ask({ kind: 'shutdown' }, timeoutMs, spoken);
    }
    await withTimeout(connection.closed, timeoutMs, () =>
      connection.error('has agreed to end and is still there: end its process by hand'),
    );
  } finally {
    connection.close();
  }
}

class DatapathClient implements Datapath {
  readonly hello: EngineHello;
  readonly #connection: Connection;
  readonly #timeoutMs: number;

  constructor(connection: Connection, hello: EngineHello, timeoutMs: number) {
    this.hello = hello;
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
  }

  get closed(): Promise<void> {
    return this.#connection.closed;
  }

  async configure(config: EngineConfig): Promise<void> {
    await this.#ask({ kind: 'configure', config });
  }

  async replaceRoutes(table: RouteTable): Promise<void> {
    await this.#ask({ kind: 'replace-routes', table });
  }

  async updateRoutes(delta: RouteDelta): Promise<void> {
    await this.#ask({ kind: 'update-routes', delta });
  }

  async stats(): Promise<EngineStats> {
    return this.#connection.decode(decodeStats, await this.#ask({ kind: 'stats' }));
  }

  /** Resolves when the engine has hung up, which it does by ending. */
  async shutdown(): Promise<void> {
    await this.#ask({ kind: 'shutdown' });
    await withTimeout(this.closed, this.#timeoutMs, () =>
      this.#connection.error(`has agreed to end and is still there: end process ${this.hello.pid} by hand`),
    );
  }

  close(): void {
    this.#connection.close();
  }

  #ask(request: Request): Promise<Uint8Array> {
    return this.#connection.ask(request, this.#timeoutMs);
  }
}

interface Waiting {
  readonly kind: Request['kind'];
  resolve(payload: Uint8Array): void;
  reject(error: CorduroyError): void;
}

/** Requests and answers over one socket, matched by id. */
class Connection {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #socketPath: string;
  readonly #frames = new FrameReader();
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #spokenVersion: number | undefined;
  #end: CorduroyError | undefined;

  constructor(socket: Socket, socketPath: string) {
    this.#socket = socket;
    this.#socketPath = socketPath;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (cause) =>
      this.#fail(this.error(`is gone (${messageOf(cause)}): start it again`, cause)),
    );
    socket.on('close', () =>
      this.#fail(this.error('has closed the connection: see its log; start it again')),
    );
  }

  /** The version of the last frame that came. */
  get spokenVersion(): number | undefined {
    return this.#spokenVersion;
  }

  async ask(request: Request, timeoutMs: number, version = PROTOCOL_VERSION): Promise<Uint8Array> {
    if (this.#end !== undefined) throw this.#end;
    const id = this.#nextId();
    const frame = this.#encode(request, id, version);
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#waiting.set(id, { kind: request.kind, resolve, reject });
    });
    this.#socket.write(frame);
    try {
      return await withTimeout(answer, timeoutMs, () =>
        this.error(
          `did not answer ${request.kind} within ${Math.round(timeoutMs)} ms: it is stuck; replace it: corduroy datapath restart`,
        ),
      );
    } finally {
      this.#waiting.delete(id);
    }
  }

  decode<T>(decoder: (payload: Uint8Array) => T, payload: Uint8Array): T {
    try {
      return decoder(payload);
    } catch (cause) {
      throw this.error(
        `answered something else than version ${PROTOCOL_VERSION} of the protocol has (${messageOf(cause)}): ` +
          'install the same version of both, then start it again',
        cause,
      );
    }
  }

  error(text: string, cause?: unknown): CorduroyError {
    return new CorduroyError('datapath', `the data plane at ${this.#socketPath} ${text}`, { cause });
  }

  close(): void {
    this.#fail(this.error('was left: this connection is closed'));
  }

  #encode(request: Request, id: number, version: number): Uint8Array {
    try {
      return encodeFrame(REQUEST_TYPES[request.kind], id, encodeRequest(request), version);
    } catch (cause) {
      throw this.error(`cannot be sent ${request.kind}: ${messageOf(cause)}`, cause);
    }
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId + 1) & 0xffff;
    while (this.#waiting.has(this.#lastId));
    return this.#lastId;
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const frame of this.#frames.push(chunk)) this.#settle(frame);
    } catch (cause) {
      this.#fail(this.error(`sends what is no frame (${messageOf(cause)}): is it a data plane?`, cause));
    }
  }

  /** An answer that nobody waits for any more (its time ran out) is let go. */
  #settle(frame: Frame): void {
    this.#spokenVersion = frame.version;
    const waiting = this.#waiting.get(frame.id);
    if (frame.type === ERROR_TYPE) {
      const { refusal, text } = decodeError(frame.payload);
      waiting?.reject(
        refusal === 'version-mismatch'
          ? this.#versionError(frame.version)
          : this.error(`refused ${waiting.kind}: ${text}`),
      );
    } else if (frame.version !== PROTOCOL_VERSION && waiting?.kind !== 'shutdown') {
      waiting?.reject(this.#versionError(frame.version));
    } else if (waiting !== undefined && frame.type === (REQUEST_TYPES[waiting.kind] | RESPONSE_BIT)) {
      waiting.resolve(frame.payload);
    } else if (waiting !== undefined) {
      waiting.reject(this.error(`answered ${waiting.kind} with a frame of type ${frame.type}`));
    }
  }

  #versionError(version: number): CorduroyError {
    return this.error(
      `speaks version ${version} of the protocol, and this program version ${PROTOCOL_VERSION}: it goes on forwarding ` +
        'by the table that it has; replace it with: corduroy datapath restart',
    );
  }

  #fail(error: CorduroyError): void {
    this.#end ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#end);
    this.#waiting.clear();
    this.#socket.destroy();
  }
}

async function openSocket(socketPath: string, timeoutMs: number): Promise<Socket> {
  const socket = createConnection(socketPath);
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  try {
    await withTimeout(
      connected,
      timeoutMs,
      () =>
        new CorduroyError(
          'datapath',
          `the data plane at ${socketPath} did not accept a connection within ${timeoutMs} ms: it is stuck; replace it: corduroy datapath restart`,
        ),
    );
    return socket;
  } catch (cause) {
    socket.destroy();
    if (cause instanceof CorduroyError) throw cause;
    throw connectError(socketPath, cause);
  }
}

/** What connect(2) says when nobody listens: no socket file, or one that its engine has left behind. */
const NOBODY = new Set<unknown>(['ENOENT', 'ECONNREFUSED']);

function connectError(socketPath: string, cause: unknown): CorduroyError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (NOBODY.has(code)) {
    return new CorduroyError(
      'datapath',
      `no data plane answers at ${socketPath} (${messageOf(cause)}): start it; corduroyd does so with the udp backend`,
      { cause, retryable: true },
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new CorduroyError(
      'datapath',
      `the data plane's socket ${socketPath} may not be opened by this user: run as root`,
      { cause },
    );
  }
  return new CorduroyError(
    'datapath',
    `the data plane's socket ${socketPath} cannot be connected to (${messageOf(cause)}): see that the path is right; ` +
      'if a data plane is there, it is stuck; replace it: corduroy datapath restart',
    { cause },
  );
}

async function withTimeout<T>(
  promise: Promise<T>,
  timeoutMs: number,
  error: () => CorduroyError,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(error()), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
