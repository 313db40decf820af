import { request } from 'node:http';
import { z } from 'zod';
import { CorduroyError } from '../errors.ts';
import { printable } from '../printable.ts';
import type { Rotation } from './wireguard-rotation.ts';

/** Milliseconds: a round that waits for etcd has to run into its deadline before another daemon takes its place. */
const RELOAD_TIMEOUT = 60_000;
const reloadedSchema = z.object({ changed: z.array(z.string()) });

/**
 * Has a daemon read its settings again, and take up what has changed.
 *
 * @returns the flags that have another value now
 * @throws CorduroyError as `daemonRequest` does
 */
export async function reloadDaemon(socketPath: string): Promise<readonly string[]> {
  const answer = await daemonRequest(socketPath, 'POST', '/v1/reload', RELOAD_TIMEOUT);
  return reloadedSchema.parse(answer).changed;
}

const rotationSchema = z.object({
  before: z.string(),
  after: z.string(),
  lease: z.string(),
  tookMs: z.number(),
});

/**
 * Has a daemon give its host another WireGuard key.
 * @throws CorduroyError as `daemonRequest` does
 */
export async function rotateWireguardKey(socketPath: string): Promise<Rotation> {
  return rotationSchema.parse(await daemonRequest(socketPath, 'POST', '/v1/wireguard/rotate', 30_000));
}

/**
 * One request to a daemon's socket.
 *
 * @param timeout milliseconds
 * @returns the JSON that it answered
 * @throws CorduroyError `no-daemon` when nobody listens, `timeout` when the daemon hangs, `daemon-refused` with what it
 *   says when it cannot do what was asked
 */
export function daemonRequest(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  timeout = 10_000,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const hangs = `corduroyd has not answered on ${socketPath} for ${timeout / 1000} s: it hangs (systemctl restart corduroyd; the data plane goes on)`;
    const call = request({ socketPath, method, path, timeout }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      // Only a daemon that ends in the middle of its answer comes here without `end`.
      response.on('error', (error) => reject(connectionError(socketPath, error)));
      response.on('end', () => {
        const body = parse(text);
        if (response.statusCode === 200 && body !== undefined) resolve(body);
        else reject(refusal(socketPath, body, text));
      });
    });
    call.on('timeout', () => call.destroy(new CorduroyError('timeout', hangs)));
    call.on('error', (error) => {
      reject(error instanceof CorduroyError ? error : connectionError(socketPath, error));
    });
    call.end();
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a daemon answers when it cannot do what was asked. */
const refusalSchema = z.object({ error: z.string() });

function refusal(socketPath: string, body: unknown, text: string): CorduroyError {
  const { data } = refusalSchema.safeParse(body);
  const said =
    data === undefined ? `${socketPath} is not served by corduroyd: ${printable(text)}` : data.error;
  return new CorduroyError('daemon-refused', said);
}

function connectionError(socketPath: string, error: NodeJS.ErrnoException): CorduroyError {
  if (error.code === 'EACCES')
    return new CorduroyError('usage', `only root may talk to corduroyd (${socketPath})`);
  const why =
    error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
      ? 'it is not running (start it: systemctl start corduroyd, or corduroyd itself; on a new host first corduroy init or ' +
        'corduroy join), or runs with another --run-dir or --instance'
      : error.message;
  return new CorduroyError('no-daemon', `corduroyd does not answer on ${socketPath}: ${why}`, {
    cause: error,
  });
}
