/**
 * The one error class. Its text always says what failed, on which object, and what to do about it.
 *
 * Codes are a closed set: the exit code of a command and the question "try again?" follow from them.
 */
export type ErrorCode =
  /** A flag, an environment variable or the configuration file is wrong. Exit code 2. */
  | 'usage'
  /** The network config document in etcd (or offered to it) breaks a rule. */
  | 'network-config'
  /** etcd cannot be reached, or did not answer in time. */
  | 'store-unavailable'
  /** etcd answered, and refuses: credentials, permissions. */
  | 'store-denied'
  /** Who answers in etcd's place shows a certificate that is not to be trusted. */
  | 'untrusted'
  /** etcd answered something this program does not understand. */
  | 'store-protocol'
  /** The etcd lease to be kept or read does not exist (any more). */
  | 'lease-not-found'
  /** Another writer was faster, or holds what was asked for. */
  | 'conflict'
  /** Another live machine has this one's id, or publishes its address. */
  | 'not-unique'
  /** Every subnet of the network's range is leased. */
  | 'out-of-subnets'
  /** No interface fits the flags. */
  | 'no-interface'
  /** An address, prefix, key or packet is not in the form it has to be. */
  | 'malformed'
  /** A command on the host (ip, nft, iptables) failed. */
  | 'host-command'
  /** The kernel refuses what leads to single hosts; all else is as it should be. */
  | 'host-in-part'
  /** A file on the host cannot be read, used or written. */
  | 'host-file'
  /** Something of another owner stands where Corduroy has to put its own. */
  | 'foreign-object'
  /** The data plane cannot be started, reached or understood. */
  | 'datapath'
  /** The daemon cannot be reached through its socket. */
  | 'no-daemon'
  /** The daemon answered, and could not do what was asked. */
  | 'daemon-refused'
  /** Docker's daemon cannot be reached (retryable), refuses, or has what contradicts the lease. */
  | 'docker'
  /** A name, socket or port that the daemon has to hold is another's, or its address is not there (yet). Retryable. */
  | 'held'
  /** A deadline given by the user has passed. */
  | 'timeout';

export interface ErrorDetails {
  /** The error that led to this one. */
  readonly cause?: unknown;
  /** Whether the same call may succeed later without anybody's help. Default false. */
  readonly retryable?: boolean;
}

export class CorduroyError extends Error {
  override readonly name = 'CorduroyError';
  readonly code: ErrorCode;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retryable = details.retryable ?? false;
  }
}

/** The text of anything that was thrown, without a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether an error is Corduroy's own, with the given code. */
export function isCode(error: unknown, code: ErrorCode): error is CorduroyError {
  return error instanceof CorduroyError && error.code === code;
}
