import {
  ClientClosedError,
  castGrpcError,
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCDeadlineExceededError,
  GRPCInvalidArgumentError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
  GRPCUnavailableError,
  isRecoverableError,
} from 'etcd3';
import { CorduroyError, messageOf } from '../../errors.ts';
import { printable } from '../../printable.ts';
import { EndpointFailure } from './failover.ts';

/** What an error's text names besides the operation. Never holds a password. */
export interface ErrorContext {
  readonly endpoints: readonly string[];
  readonly secure: boolean;
  readonly username: string | undefined;
  /** When the client certificate in use expires. */
  readonly certificateEnds: Date | undefined;
}

/** What a role has to permit for a call. */
export interface Need {
  readonly permission: 'read' | 'readwrite';
  readonly key: string;
  /** The keys that begin with `key` are meant. */
  readonly prefix?: boolean;
}

/**
 * Turns whatever etcd3 or gRPC threw into a CorduroyError. Goes by class (which stands for the gRPC status code), never
 * by text.
 *
 * @param operation what was attempted on which object: `read keys under "/corduroy/"`
 * @param needs what etcd's roles have to permit for it
 */
export function storeError(
  thrown: unknown,
  operation: string,
  context: ErrorContext,
  needs: readonly Need[] = [],
): CorduroyError {
  if (thrown instanceof CorduroyError) return thrown;
  const cause = grpcError(thrown);
  const failed = `cannot ${operation}`;
  const etcd = `etcd at ${context.endpoints.join(', ')}`;
  const said = tidy(messageOf(cause));

  if (cause instanceof ClientClosedError) {
    return new CorduroyError('store-unavailable', `${failed}: the connection to ${etcd} is closed`, {
      cause,
    });
  }
  if (cause instanceof EtcdLeaseInvalidError) {
    return new CorduroyError('lease-not-found', `${failed}: ${etcd} knows no such lease (any more)`, {
      cause,
    });
  }
  if (isDenied(cause)) {
    const who = context.username === undefined ? 'without a user name' : `as user "${context.username}"`;
    const advice = adviceFor(cause, context, needs);
    return new CorduroyError('store-denied', `${failed}: ${etcd} refuses it ${who} (${said}); ${advice}`, {
      cause,
    });
  }
  if (cause instanceof GRPCDeadlineExceededError) {
    return unavailable(
      `${failed}: ${etcd} did not answer in time (${said}); ` +
        'check that it has a leader (etcdctl endpoint status) and that no firewall drops the packets',
      cause,
    );
  }
  if (cause instanceof GRPCResourceExhastedError) {
    return unavailable(
      `${failed}: ${etcd} has run out of something (${said}); ` +
        'check its space quota (etcdctl alarm list) and its load',
      cause,
    );
  }
  if (cause instanceof Error && isRecoverableError(cause)) {
    // gRPC reports a TLS handshake that failed, for want of a client certificate too, as mere unavailability.
    const tls = context.secure
      ? ', and that the CA, client certificate and key are those etcd expects'
      : ', and that it does not want https';
    const ends = context.certificateEnds;
    const expired =
      ends !== undefined && ends.getTime() < Date.now()
        ? `; the client certificate expired at ${ends.toISOString()}: renew it`
        : '';
    return unavailable(
      `${failed}: ${etcd} is unavailable (${said}); ` +
        `check that it runs, listens there and has a leader${tls}${expired}`,
      cause,
    );
  }
  return new CorduroyError(
    'store-protocol',
    `${failed}: ${etcd} answered what this program does not expect (${said}); check that it is etcd 3.4 or later`,
    { cause },
  );
}

/** gRPC passes OpenSSL's and its own internals on: what says something is kept. */
function tidy(text: string): string {
  const alert = /(?:sslv3|tlsv1) alert [a-z ]+/.exec(text)?.[0];
  if (alert !== undefined) return `TLS: ${alert.trim()}`;
  return printable(text.replace(/\.? *Resolution note:.*$/s, '').trim());
}

/** Streams reject with gRPC's own errors, of one class; etcd3 tells them apart. */
function grpcError(thrown: unknown): unknown {
  if (thrown instanceof EndpointFailure) return thrown.cause;
  return thrown instanceof Error ? castGrpcError(thrown) : thrown;
}

function unavailable(message: string, cause: unknown): CorduroyError {
  return new CorduroyError('store-unavailable', message, { cause, retryable: true });
}

/** Whether gRPC had no connection to send the call by. It has no code of its own for that: this is its picker's text. */
export function wasNeverSent(error: unknown): boolean {
  const cause = grpcError(error);
  return cause instanceof GRPCUnavailableError && cause.message.includes('No connection established');
}

/** What mends a refusal: with etcdctl, as a user who has the role root. */
function adviceFor(cause: unknown, { username }: ErrorContext, needs: readonly Need[]): string {
  if (username === undefined) return 'give the user name and password, if etcd asks for them';
  if (cause instanceof EtcdAuthenticationFailedError)
    return (
      `check the password, or set it anew: etcdctl user passwd ${username} ` +
      '(a host of corduroy init and join: corduroy join with a new token)'
    );
  if (!(cause instanceof EtcdPermissionDeniedError) || needs.length === 0)
    return `check the password, and the permissions of the user's roles: etcdctl user get ${username} --detail`;
  const grants = needs.map(
    ({ permission, key, prefix }) =>
      `etcdctl role grant-permission ROLE ${permission} ${prefix ? '--prefix ' : ''}${key}`,
  );
  return (
    `use a user who may, or permit it to a ROLE of this one (etcdctl user get ${username}): ` +
    grants.join('; ')
  );
}

function isDenied(error: unknown): boolean {
  return (
    error instanceof EtcdAuthenticationFailedError ||
    error instanceof EtcdPermissionDeniedError ||
    error instanceof EtcdInvalidAuthTokenError ||
    error instanceof GRPCUnauthenticatedError
  );
}

/**
 * Whether a new token may cure the error. etcd answers UNAUTHENTICATED to a token it does not know (it keeps simple
 * tokens in memory, and forgets them with every restart), and INVALID_ARGUMENT to a call without one and to one older
 * than the last change of its users. Both mean that nothing was carried out.
 */
export function mayBeStaleToken(error: unknown): boolean {
  return (
    error instanceof EtcdInvalidAuthTokenError ||
    error instanceof GRPCUnauthenticatedError ||
    error instanceof GRPCInvalidArgumentError
  );
}
