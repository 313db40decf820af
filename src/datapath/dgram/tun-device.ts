import { read, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { CorduroyError, messageOf } from '../../errors.ts';

/** A TUN device: whole IP packets, one a read and one a write. */
export interface TunDevice {
  /** The device's name, as the kernel says. */
  readonly name: string;
  /**
   * Delivers packets until the device is gone, which `fault` reports once. The packet's bytes are the device's again
   * when `deliver` returns.
   */
  start(deliver: (packet: Uint8Array) => void, fault: (error: Error) => void): void;
  /** Hands a packet to the kernel, at once. Throws the error of write(2): EIO when the device is down. */
  write(packet: Uint8Array): void;
  stop(): void;
}

/** No read of a TUN is longer: an IP packet is at most 65 535 bytes (a jumbogram does not come out of a TUN). */
const READ_SIZE = 65_536;
/** Faults that pass by themselves. All others of read(2) on a TUN mean that the device is gone: EBADFD, EFAULT, EIO. */
const TRANSIENT = new Set(['EAGAIN', 'EINTR', 'ENOBUFS', 'ENOMEM']);
const RETRY_MS = 5;

/** The file system, as far as it is needed here; a test puts its own in place. */
export interface TunIo {
  read(
    fd: number,
    buffer: Uint8Array,
    done: (error: NodeJS.ErrnoException | null, length: number) => void,
  ): void;
  write(fd: number, bytes: Uint8Array): number;
}

const FILE_SYSTEM: TunIo = {
  read: (fd, buffer, done) => read(fd, buffer, 0, buffer.length, null, done),
  write: (fd, bytes) => writeSync(fd, bytes),
};

/**
 * The device that tun-exec has opened as `fd`. A read blocks a thread of libuv's pool until a packet comes, so the
 * process cannot end by process.exit while one is pending: see end-process.ts.
 */
export function openTun(fd: number, name = tunNameOf(fd), io: TunIo = FILE_SYSTEM): TunDevice {
  let stopped = false;
  return {
    name,
    start(deliver, fault) {
      const buffer = Buffer.alloc(READ_SIZE);
      const next = () => {
        if (stopped) return;
        io.read(fd, buffer, (error, length) => {
          if (stopped) return;
          if (error !== null && TRANSIENT.has(error.code ?? '')) setTimeout(next, RETRY_MS);
          else if (error !== null) fault(error);
          else if (length === 0) fault(new Error('end of file: this is no TUN device'));
          else {
            deliver(buffer.subarray(0, length));
            next();
          }
        });
      };
      next();
    },
    write(packet) {
      io.write(fd, packet);
    },
    stop() {
      stopped = true;
    },
  };
}

/**
 * The name of the TUN device behind a file descriptor: the kernel shows it in fdinfo as `iff:`.
 * @throws CorduroyError `datapath` when the descriptor is not a TUN device
 */
function tunNameOf(fd: number): string {
  const remedy = 'start the engine with corduroy-datapath tun-exec NAME -- CMD…';
  let info: string;
  try {
    info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  } catch (cause) {
    throw new CorduroyError(
      'datapath',
      `file descriptor ${fd} is not open (${messageOf(cause)}): ${remedy}`,
      {
        cause,
      },
    );
  }
  const name = /^iff:\s*(\S+)$/m.exec(info)?.[1];
  if (name === undefined) {
    throw new CorduroyError(
      'datapath',
      `file descriptor ${fd} (${readlinkSync(`/proc/self/fd/${fd}`)}) is no TUN device: ${remedy}`,
    );
  }
  return name;
}
