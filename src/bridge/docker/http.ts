import { request } from 'node:http';
import { CorduroyError } from '../../errors.ts';
import { printable } from '../../printable.ts';

/** Milliseconds that dockerd has for one answer. */
const TIMEOUT = 5000;
/** Bytes of an answer that are read: more is no answer to what is asked here. */
const MAX_ANSWER = 4 * 2 ** 20;

export interface DockerAnswer {
  readonly status: number;
  /** `undefined` for an empty one. */
  readonly body: unknown;
}

/**
 * One request to dockerd's socket, whatever it answers.
 *
 * @param timeout milliseconds
 * @throws CorduroyError `docker`, retryable where nobody has answered
 */
export function dockerRequest(
  socketPath: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  { body, timeout = TIMEOUT }: { readonly body?: unknown; readonly timeout?: number } = {},
): Promise<DockerAnswer> {
  const content = body === undefined ? undefined : JSON.stringify(body);
  const headers =
    content === undefined
      ? { host: 'docker' }
      : { host: 'docker', 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) };
  return new Promise((resolve, reject) => {
    // The deadline is for the whole answer: one that trickles in has none, too.
    const signal = AbortSignal.timeout(timeout);
    const fail = (error: NodeJS.ErrnoException) =>
      reject(failure(error, signal.aborted, socketPath, timeout));
    // No agent: a connection that is kept would be to a dockerd that may be gone by the next look.
    const call = request({ socketPath, method, path, headers, signal, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > MAX_ANSWER) call.destroy(nonsense(socketPath, `more than ${MAX_ANSWER} bytes`));
      });
      response.on('error', fail);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        try {
          resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) });
        } catch {
          reject(nonsense(socketPath, printable(text)));
        }
      });
    });
    call.on('error', fail);
    call.end(content);
  });
}

/** Whether an error says that there is no dockerd to talk to, now. */
export function isAway(error: unknown): boolean {
  return error instanceof CorduroyError && error.code === 'docker' && error.retryable;
}

export function nonsense(socketPath: string, what: string): CorduroyError {
  return new CorduroyError(
    'docker',
    `what ${socketPath} answers is not Docker's (${what}): --docker-socket has to name dockerd's socket`,
  );
}

function failure(
  error: NodeJS.ErrnoException,
  timedOut: boolean,
  socketPath: string,
  timeout: number,
): CorduroyError {
  if (error instanceof CorduroyError) return error;
  if (error.code === 'EACCES')
    return new CorduroyError('docker', `only root, and who is let, may talk to dockerd (${socketPath})`);
  if (error.code?.startsWith('HPE_')) return nonsense(socketPath, error.message); // Not even HTTP.
  const why = timedOut ? `has not answered for ${timeout / 1000} s` : `does not answer: ${error.message}`;
  return new CorduroyError('docker', `dockerd (${socketPath}) ${why}`, { cause: error, retryable: true });
}
