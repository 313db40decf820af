import { X509Certificate } from 'node:crypto';
import {
  type CallContext,
  Etcd3,
  EtcdAuthenticationFailedError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCUnauthenticatedError,
  type ILeaseKeepAliveRequest,
  type ILeaseKeepAliveResponse,
  type IWatchRequest,
  type IWatchResponse,
} from 'etcd3';
import { CorduroyError } from '../../errors.ts';
import { type ErrorContext, mayBeStaleToken, type Need, storeError, wasNeverSent } from './errors.ts';
import { failover } from './failover.ts';
import { type Credentials, DEFAULT_REQUEST_TIMEOUT_MS, type EtcdOptions, parseEndpoints } from './options.ts';
import { Patience } from './patience.ts';
import { type ResponseStream, responseStream } from './stream.ts';

type Calls = Pick<Etcd3, 'kv' | 'leaseClient' | 'auth'>;
type CallOptions = NonNullable<Parameters<Etcd3['kv']['range']>[1]>;
type Interceptor = NonNullable<CallOptions['interceptors']>[number];
type Intercept = (...args: Parameters<Interceptor>) => ReturnType<Parameters<Interceptor>[1]>;

/** etcd's answer to a call without a token while it wants none; see `#authenticate`. */
const NO_TOKEN = '';
/** Status codes of gRPC, https://grpc.io/docs/guides/status-codes/. */
const OK = 0;
const DEADLINE_EXCEEDED = 4;
const UNAUTHENTICATED = 16;

/**
 * etcd3 as a bare transport: unary calls with a deadline, raw streams, and every error a CorduroyError. etcd3's own
 * retries, circuit breaker, watcher, lease and authentication are not used; failover.ts and `#authenticate` say why.
 */
export class EtcdClient {
  readonly #patience: Patience;
  readonly #etcd: Etcd3;
  readonly #endpoints: readonly string[];
  readonly #credentials: Credentials | undefined;
  readonly #context: ErrorContext;
  #token: string | undefined;
  #authenticating: Promise<string> | undefined;
  /** etcd was away since the token was last used; see `#checkToken`. */
  #tokenInDoubt = false;

  /** @throws CorduroyError `usage` as parseEndpoints does */
  constructor(options: EtcdOptions) {
    const { urls, secure } = parseEndpoints(options);
    const { tls, credentials } = options;
    this.#patience = new Patience(options.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS);
    this.#endpoints = urls;
    this.#credentials = credentials;
    this.#context = {
      endpoints: urls,
      secure,
      username: credentials?.username,
      certificateEnds: tls?.cert === undefined ? undefined : endOf(tls.cert),
    };
    // gRPC gives Node an IP address as TLS server name. Node warns about that on standard error; users of
    // https://10.0.0.1:2379 can do nothing about it.
    if (secure) process.noDeprecation = true;
    this.#etcd = new Etcd3({
      hosts: [...urls],
      // etcd3's type wants a CA; gRPC itself takes the system's when there is none.
      ...(tls === undefined
        ? {}
        : { credentials: { rootCertificate: tls.ca, certChain: tls.cert, privateKey: tls.key } as never }),
      grpcOptions: CHANNEL_OPTIONS,
      defaultCallOptions: (context) => this.#callOptions(context),
      faultHandling: failover(urls, () => performance.now()),
    });
  }

  /** How long the next request may take, milliseconds. */
  get requestTimeoutMs(): number {
    return this.#patience.ms;
  }

  /**
   * For a call that does no harm when carried out twice: every endpoint gets its chance.
   *
   * @param needs what etcd's roles have to permit for it, to be named if they do not
   */
  async repeatable<T>(
    operation: string,
    call: (calls: Calls) => Promise<T>,
    needs: readonly Need[] = [],
  ): Promise<T> {
    return this.#tryEndpoints(operation, () => this.once(operation, call, needs));
  }

  /** For a call that must reach etcd once at the most. (A token refused means that it was not carried out.) */
  async once<T>(
    operation: string,
    call: (calls: Calls) => Promise<T>,
    needs: readonly Need[] = [],
  ): Promise<T> {
    try {
      await this.#ensureToken();
      try {
        return await this.#send(call);
      } catch (thrown) {
        if (!mayBeStaleToken(thrown)) throw thrown;
        if (this.#credentials === undefined) throw (await this.#asksForUser()) ? noUser(thrown) : thrown;
        this.#token = undefined;
        await this.#ensureToken();
        return await this.#send(call);
      }
    } catch (thrown) {
      throw this.toStoreError(thrown, operation, needs);
    }
  }

  /** What could not leave this host may go by another endpoint, whatever it is. */
  async #send<T>(call: (calls: Calls) => Promise<T>): Promise<T> {
    for (let left = this.#endpoints.length; ; left--) {
      try {
        return await call(this.#etcd);
      } catch (thrown) {
        if (left <= 1 || !wasNeverSent(thrown)) throw thrown;
      }
    }
  }

  /** Every try takes another endpoint, as failover.ts lets those rest that failed. */
  async #tryEndpoints<T>(operation: string, call: () => Promise<T>): Promise<T> {
    for (let left = this.#endpoints.length; ; left--) {
      try {
        return await call();
      } catch (thrown) {
        const error = storeError(thrown, operation, this.#context);
        if (!error.retryable || left <= 1) throw error;
      }
    }
  }

  /** Opens a watch stream with the token at hand: read something first, for a stream cannot refresh it. */
  async watchStream(): Promise<ResponseStream<IWatchRequest, IWatchResponse>> {
    return responseStream(await this.#etcd.watchClient.watch());
  }

  toStoreError(thrown: unknown, operation: string, needs: readonly Need[] = []): CorduroyError {
    const error = storeError(thrown, operation, this.#context, needs);
    if (error.retryable) this.#tokenInDoubt = true;
    return error;
  }

  /** Streams must have been stopped before: they would go on. */
  close(): void {
    this.#etcd.close();
  }

  /**
   * Fetches a token by ourselves. etcd3's Authenticator opens one more channel for every token and never closes it,
   * and that channel has gRPC's default reconnection pause, which grows to two minutes while etcd is down.
   */
  async #ensureToken(): Promise<void> {
    if (this.#credentials === undefined) return;
    if (this.#token !== undefined && this.#tokenInDoubt) await this.#checkToken(this.#token);
    if (this.#token !== undefined) return;
    this.#authenticating ??= this.#authenticate(this.#credentials).finally(() => {
      this.#authenticating = undefined;
    });
    this.#token = await this.#authenticating;
    this.#tokenInDoubt = false;
  }

  /**
   * etcd holds back a call whose token is of a raft index that it has not reached, for as long as the caller waits
   * (simpleTokenProvider). That is meant for a member that lags. An etcd that was restored from a backup counts from the
   * beginning: it would hold back every call. Not simply a new token after every fault: etcd pays for
   * each with tens of milliseconds (bcrypt), just when it is slow.
   */
  async #checkToken(token: string): Promise<void> {
    const [, index] = /^[^.]*\.(\d+)$/.exec(token) ?? [];
    if (index !== undefined) {
      const status = await this.#tryEndpoints('ask etcd for its status', () =>
        this.#etcd.maintenance.status(),
      ).catch((error: unknown) => {
        if (error instanceof CorduroyError && error.retryable) throw error;
        return undefined; // Something between does not let the question through: a new token is right in any case.
      });
      const isAhead = status === undefined || BigInt(status.raftIndex) < BigInt(index);
      if (isAhead && this.#token === token) this.#token = undefined;
    }
    this.#tokenInDoubt = false;
  }

  async #authenticate({ username, password }: Credentials): Promise<string> {
    const ask = async () => {
      try {
        const { token } = await this.#etcd.auth.authenticate({ name: username, password });
        return token;
      } catch (thrown) {
        // Authentication is not enabled: go on without, as etcdctl does. Once it is, calls without a token fail as
        // calls with a stale one do.
        if (thrown instanceof GRPCFailedPreconditionError) return NO_TOKEN;
        throw thrown;
      }
    };
    return this.#tryEndpoints(`authenticate user "${username}"`, ask);
  }

  /**
   * Whether authentication is enabled. etcd answers a call that lacks a user with INVALID_ARGUMENT, as it does to a
   * malformed one; an attempt to log in as nobody tells the two apart.
   */
  async #asksForUser(): Promise<boolean> {
    try {
      await this.#etcd.auth.authenticate({ name: '', password: '' });
      return true;
    } catch (thrown) {
      return thrown instanceof EtcdAuthenticationFailedError || thrown instanceof GRPCInvalidArgumentError;
    }
  }

  #callOptions(context: CallContext): CallOptions {
    const timeout = this.requestTimeoutMs;
    const interceptors = [this.#interceptor(context, timeout)];
    return context.isStream ? { interceptors } : { interceptors, deadline: Date.now() + timeout };
  }

  /**
   * Adds the token, and to streams `hasleader`, which makes an etcd member that has lost its quorum end a watch
   * instead of keeping it open and silent (what clientv3 calls WithRequireLeader).
   *
   * @param timeout of the call, unless it is a stream; milliseconds
   */
  #interceptor(context: CallContext, timeout: number): Interceptor {
    const intercept: Intercept = (options, nextCall) => {
      const call = nextCall(options);
      const start = call.start.bind(call);
      call.start = (metadata, listener) => {
        const startedAt = performance.now();
        const token = context.method === 'authenticate' ? undefined : this.#token;
        if (token) metadata.set('token', token);
        if (context.isStream) metadata.set('hasleader', 'true');
        start(metadata, {
          onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
          onReceiveMessage: (message) => listener?.onReceiveMessage?.(message),
          onReceiveStatus: (status) => {
            if (!context.isStream && status.code === OK)
              this.#patience.answered(performance.now() - startedAt);
            if (status.code === DEADLINE_EXCEEDED) this.#patience.ranOut(timeout);
            const refused = status.code === UNAUTHENTICATED;
            if (refused && this.#token === token) this.#token = undefined;
            // By etcd's own text, etcd3 would know an invalid token and repeat the call, for ever if need be. With a
            // text of ours it goes by the code, and leaves the repeating to `once`.
            listener?.onReceiveStatus?.(refused ? { ...status, details: 'the token was refused' } : status);
          },
        });
      };
      return call;
    };
    // gRPC's type wants the class InterceptingCall; its code, the interface alone.
    return intercept as Interceptor;
  }
}

/** One renewal over a stream of its own, as etcd offers no unary call for it. @returns seconds; 0: no such lease */
export async function keepAliveOnce(client: Calls, id: string, timeoutMs: number): Promise<number> {
  const deadline = Date.now() + timeoutMs;
  const stream = responseStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>(
    await client.leaseClient.leaseKeepAlive({ deadline }),
  );
  try {
    stream.write({ ID: id });
    stream.end();
    for await (const response of stream) return Number(response.TTL);
    throw new Error('the stream ended before the lease was renewed');
  } finally {
    stream.stop();
  }
}

/** When the certificate expires. Undefined: it cannot be read, and gRPC will say so. */
function endOf(pem: Buffer): Date | undefined {
  try {
    return new Date(new X509Certificate(pem).validTo);
  } catch {
    return undefined;
  }
}

function noUser(cause: unknown): GRPCUnauthenticatedError {
  return Object.assign(new GRPCUnauthenticatedError('authentication is enabled'), { cause });
}

const CHANNEL_OPTIONS = {
  // A server that hangs closes nothing: only unanswered pings tell. etcd refuses pings more often than every 5 s
  // (--grpc-keepalive-min-time).
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // gRPC's own pauses between connection attempts (default 1 s growing to 120 s) must not delay ours.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
  // A host name that moved is asked for again that soon, not after the default of 30 s.
  'grpc.dns_min_time_between_resolutions_ms': 1_000,
  // The default of 4 MiB would refuse the listing of a large prefix, or one large watch response.
  'grpc.max_receive_message_length': -1,
  // An http_proxy in the environment is not meant for a database in the same network.
  'grpc.enable_http_proxy': 0,
  // No TXT queries for a service config with every host name.
  'grpc.service_config_disable_resolution': 1,
};
