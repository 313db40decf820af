import { request } from 'node:http';
import { CorduroyError } from '../errors.ts';

/**
 * One request to a daemon's socket.
 * @returns the JSON that it answered
 * @throws CorduroyError `no-daemon`
 */
export function daemonRequest(socketPath: string, method: 'GET' | 'POST', path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown) =>
      reject(new CorduroyError('no-daemon', `corduroyd does not answer on ${socketPath}: ${why}`, { cause }));
    const call = request({ socketPath, method, path, timeout: TIMEOUT }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      // Only a daemon that ends in the middle of its answer comes here without `end`.
      response.on('error', (error) => fail('it broke off', error));
      response.on('end', () => {
        try {
          const body: unknown = JSON.parse(text);
          if (response.statusCode === 200) resolve(body);
          else fail(`it says ${text.trim()}`);
        } catch (error) {
          fail('its answer is not JSON', error);
        }
      });
    });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${TIMEOUT / 1000} s`)));
    call.on('error', (error: NodeJS.ErrnoException) => fail(explain(error), error));
    call.end();
  });
}

const TIMEOUT = 10_000;

function explain(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    return 'it is not running (start it: systemctl start corduroyd, or corduroyd), or runs with another --run-dir or --instance';
  }
  if (error.code === 'EACCES') return 'only root may talk to it';
  return error.message;
}
