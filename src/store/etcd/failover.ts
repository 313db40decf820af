import { EventEmitter } from 'node:events';
import { GRPCUnavailableError, type IOptions, isRecoverableError } from 'etcd3';

type FaultHandling = NonNullable<IOptions['faultHandling']>;
type Policy = NonNullable<FaultHandling['global']>;

/** How long an endpoint that failed is passed over while another one is not known to be bad. Milliseconds. */
const REST_MS = 10_000;

/**
 * Replaces etcd3's fault handling, which is wrong for us twice: its circuit breaker refuses calls for 5 s after 3
 * failures, although etcd may answer again at once; and its retries repeat writes of which nobody knows whether they
 * were carried out, and multiply the deadline by four.
 *
 * Instead: no retry here (the client repeats reads), and an endpoint that failed rests, but never the last one. With
 * one endpoint, or when all failed, every call goes through, so nothing is late when etcd comes back.
 */
export function failover(endpoints: readonly string[], now: () => number): FaultHandling {
  const restingUntil = new Map<string, number>();
  const rests = (endpoint: string) => (restingUntil.get(endpoint) ?? 0) > now();
  return {
    global: policy(async (run) => run()),
    host: (endpoint) =>
      policy(async (run) => {
        if (rests(endpoint) && endpoints.some((other) => !rests(other))) {
          // etcd3 sees that nothing was called, and takes the next endpoint.
          throw new GRPCUnavailableError(`${endpoint} failed a moment ago`);
        }
        try {
          const result = await run();
          // It answers, and rests no longer: else, once all have failed, the dead ones would be asked as often as it.
          // A stream is no answer yet.
          if (!(result instanceof EventEmitter)) restingUntil.delete(endpoint);
          return result;
        } catch (error) {
          if (!(error instanceof Error) || !isRecoverableError(error)) throw error;
          restingUntil.set(endpoint, now() + REST_MS);
          throw new EndpointFailure(error);
        }
      }),
  };
}

/**
 * Hides a failure from etcd3, which would close every channel to the endpoint: watches on it, healthy though they may
 * be, would end with the next keepalive ping, and gRPC reconnects by itself.
 */
export class EndpointFailure extends Error {
  override readonly cause: Error;

  constructor(cause: Error) {
    super(cause.message);
    this.cause = cause;
  }
}

type Around = <T>(run: () => PromiseLike<T> | T) => Promise<T>;

/** etcd3 takes a cockatiel policy, of which it uses `execute` alone. */
function policy(around: Around): Policy {
  const never = () => ({ dispose: () => undefined });
  const execute: Policy['execute'] = async (call, signal = new AbortController().signal) =>
    around(() => call({ signal }));
  // `_altReturn` is declared only, and never defined, by cockatiel as well.
  return { execute, onSuccess: never, onFailure: never } as unknown as Policy;
}
