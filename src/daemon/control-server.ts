import { rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { CorduroyError, isCode, messageOf } from '../errors.ts';
import { daemonRequest } from './control-client.ts';
import type { StatusDocument } from './status.ts';
import type { Rotation } from './wireguard-rotation.ts';

/** What the daemon's socket offers: HTTP, JSON, for root only (mode 0600). */
export interface ControlHandlers {
  readonly status: () => Promise<StatusDocument>;
  /** Reads the settings again, and takes them up. Rejects with `usage` when they cannot be used: nothing is changed then. */
  readonly reload: () => Promise<Reloaded>;
  /** Gives this host another WireGuard key. Rejects when it has the one before, still or again. */
  readonly rotateWireguardKey: () => Promise<Rotation>;
  /** Ends the daemon; with `release`, gives its lease back first. */
  readonly stop: (release: boolean) => Promise<void>;
}

export interface Reloaded {
  /** Names of the flags that have another value now. */
  readonly changed: readonly string[];
}

/**
 * Also the lock of the run-dir: of two daemons, the second finds the first answering and gives up.
 * @throws CorduroyError `held`
 */
export async function serveControl(socketPath: string, handlers: ControlHandlers): Promise<Server> {
  await requireUnserved(socketPath);
  const server = createServer((request, response) => {
    respond(request, handlers).then(
      (body) => send(response, 200, body),
      (error: unknown) => send(response, codeFor(error), { error: messageOf(error) }),
    );
  });
  return listenAt(server, socketPath);
}

/** `/healthz`: the daemon runs. `/readyz`: subnet.env is written and the routes stand. @throws CorduroyError `held` */
export async function serveHealth(ip: string, port: number, isReady: () => boolean): Promise<Server> {
  const server = createServer((request, response) => {
    const ready = isReady();
    if (request.url === '/healthz') send(response, 200, { status: 'ok' });
    else if (request.url === '/readyz')
      send(response, ready ? 200 : 503, { status: ready ? 'ready' : 'not ready' });
    else send(response, 404, { error: 'there are /healthz and /readyz' });
  });
  try {
    await listen(server, () => server.listen(port, ip));
  } catch (error) {
    throw held(`--healthz-ip ${ip} --healthz-port ${port}: ${messageOf(error)}`, error);
  }
  return server;
}

/** @throws CorduroyError `held` naming the daemon that serves this run-dir */
export async function requireUnserved(socketPath: string): Promise<void> {
  if (await isServed(socketPath)) {
    const running = await daemonRequest(socketPath, 'GET', '/v1/status').catch(() => undefined);
    const pid = (running as StatusDocument | undefined)?.pid ?? 'unknown';
    throw held(
      `a corduroyd with pid ${pid} runs with this run-dir already (${socketPath}): ` +
        'stop it, or use --instance to run another beside it',
    );
  }
}

/**
 * Where the daemon of this name in this network namespace has its lock, whatever its run-dir. Only root may make
 * sockets in /run; an abstract one would be anybody's to take. The inode number is the namespace's name to the kernel.
 */
export function lockPath(linkMark: string, namespace = '/proc/self/ns/net'): string {
  return `/run/${linkMark}.netns-${statSync(namespace).ino}.lock`;
}

/**
 * Lets no second daemon of this name into the network namespace: they would take each other's devices away.
 * @returns what holds the lock until it is closed, or the process ends
 * @throws CorduroyError `held`
 */
export async function lockInstance(path: string): Promise<Server> {
  if (await isServed(path)) {
    throw held(
      `a corduroyd of this name runs on this host already (it holds ${path}): ` +
        'stop it, or give this one an --instance of its own',
    );
  }
  return listenAt(createServer(), path);
}

function held(message: string, cause?: unknown): CorduroyError {
  return new CorduroyError('held', message, { cause, retryable: true });
}

class NotFound extends Error {}

async function respond(request: IncomingMessage, handlers: ControlHandlers): Promise<unknown> {
  request.resume();
  switch (`${request.method} ${request.url}`) {
    case 'GET /v1/status':
      return handlers.status();
    case 'POST /v1/reload':
      return handlers.reload();
    case 'POST /v1/wireguard/rotate':
      return handlers.rotateWireguardKey();
    case 'POST /v1/stop':
      await handlers.stop(false);
      return {};
    case 'POST /v1/stop?release=true':
      await handlers.stop(true);
      return {};
    default:
      throw new NotFound(
        'there are GET /v1/status, POST /v1/reload, POST /v1/wireguard/rotate and POST /v1/stop',
      );
  }
}

function codeFor(error: unknown): number {
  if (error instanceof NotFound) return 404;
  return isCode(error, 'usage') ? 400 : 500;
}

function send(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json', connection: 'close' });
  response.end(`${JSON.stringify(body)}\n`);
}

/** Only a refusal says that nobody is there; a full queue, say, is somebody who hangs. */
export function isServed(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(!['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'].includes(error.code ?? ''));
    });
  });
}

/** In place of what a daemon that crashed has left there. */
async function listenAt(server: Server, socketPath: string): Promise<Server> {
  rmSync(socketPath, { force: true });
  const mask = process.umask(0o177); // The socket is never open to others, not even for a moment.
  try {
    await listen(server, () => server.listen(socketPath));
  } finally {
    process.umask(mask);
  }
  return server;
}

function listen(server: Server, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(held(`cannot listen: ${error.message}`, error)));
    server.once('listening', resolve);
    start();
  });
}
