import { CorduroyError } from '../../errors.ts';

/** How to reach etcd. */
export interface EtcdOptions {
  /** `http://host:port`, `https://host:port` or `host:port`; without a port, 2379. All of one scheme. */
  readonly endpoints: readonly string[];
  readonly tls?: TlsOptions | undefined;
  readonly credentials?: Credentials | undefined;
  /**
   * In place of `tls` and `credentials`, where they may change: asked before every call, so it has to be quick. The
   * same object as before means that nothing has changed. Must not throw once it has returned something.
   */
  readonly access?: (() => EtcdAccess) | undefined;
  /**
   * How long one endpoint may take to answer one request, at the longest: patience.ts. Milliseconds, sensible:
   * 1000 … 10 000. Default 5000.
   */
  readonly requestTimeoutMs?: number | undefined;
  readonly watchBackoff?: BackoffOptions | undefined;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: (() => number) | undefined;
}

/** What a client shows to etcd, and what etcd is checked against. */
export interface EtcdAccess {
  readonly tls?: TlsOptions | undefined;
  readonly credentials?: Credentials | undefined;
}

/** PEM, contents and not paths. */
export interface TlsOptions {
  /** Certificates that may sign the server's. Absent: the system's. */
  readonly ca?: Buffer | undefined;
  /** Client certificate, where etcd asks for one; needs `key`. */
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Pause between two tries to follow etcd again; each is jittered to between half of it and all of it. */
export interface BackoffOptions {
  /** First pause, doubled after every failure. Milliseconds. Default 200. */
  readonly minMs: number;
  /** Longest pause after a watch that worked broke. Milliseconds. Default 5000. */
  readonly maxMs: number;
  /** Longest pause before the very first snapshot, when a whole daemon waits for it. Milliseconds. Default 500. */
  readonly firstMaxMs: number;
}

export const DEFAULT_REQUEST_TIMEOUT_MS = 5000;
export const DEFAULT_WATCH_BACKOFF: BackoffOptions = { minMs: 200, maxMs: 5000, firstMaxMs: 500 };

/** etcd's client port, https://www.iana.org/assignments/service-names-port-numbers (etcd-client). */
const DEFAULT_PORT = '2379';

/** Endpoints in the one form etcd3 takes without surprises: scheme, host, port, and nothing after it. */
export interface Endpoints {
  readonly urls: readonly string[];
  readonly secure: boolean;
}

/**
 * @throws CorduroyError `usage`: no endpoint, one that is none, mixed schemes, TLS files with http://, half a client
 *   certificate. The text never repeats a user name or password written into an endpoint.
 */
export function parseEndpoints(options: EtcdOptions): Endpoints {
  if (options.endpoints.length === 0) throw new CorduroyError('usage', 'no etcd endpoint is given');
  const { tls } = options;
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw new CorduroyError('usage', 'an etcd client certificate and its key must be given together');
  }
  const assumed = tls === undefined ? 'http' : 'https';
  const urls = options.endpoints.map((endpoint) => parseEndpoint(endpoint, assumed));
  const schemes = new Set(urls.map((url) => url.protocol));
  if (schemes.size > 1) {
    throw new CorduroyError('usage', 'etcd endpoints must be all http:// or all https://');
  }
  const secure = schemes.has('https:');
  if (tls !== undefined && !secure) {
    throw new CorduroyError(
      'usage',
      'etcd certificates are given, but the endpoints are http://; use https://',
    );
  }
  return { urls: urls.map((url) => `${url.protocol}//${url.hostname}:${url.port || DEFAULT_PORT}`), secure };
}

interface ParsedEndpoint {
  readonly protocol: string;
  readonly hostname: string;
  readonly port: string;
}

function parseEndpoint(endpoint: string, assumed: 'http' | 'https'): ParsedEndpoint {
  const text = endpoint.includes('://') ? endpoint : `${assumed}://${endpoint}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && (url.username !== '' || url.password !== '')) {
    throw new CorduroyError(
      'usage',
      `the etcd endpoint on ${url.host} holds a user name or password; give them by their own options`,
    );
  }
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.hostname === '' ||
    url.pathname !== '/' ||
    url.search !== '' ||
    url.hash !== ''
  ) {
    // What precedes an "@" could be a password.
    const shown = endpoint.replace(/^.*@/s, '…@');
    throw new CorduroyError('usage', `"${shown}" is not an etcd endpoint, such as http://10.0.0.1:2379`);
  }
  // The URL class drops a port equal to the scheme's own (80, 443), which here must not turn into 2379.
  const port = url.port || (/:(80|443)\/?$/.exec(text)?.[1] ?? '');
  return { protocol: url.protocol, hostname: url.hostname, port };
}
