import { read, readFileSync, readlinkSync, writeSync, writevSync } from 'node:fs';
import { CorduroyError, messageOf } from '../../errors.ts';
import { PLAIN, readVirtioHeader, VIRTIO_HEADER, type VirtioHeader } from '../../wire/virtio-header.ts';

/** A TUN device: IP packets, one a read and one a write. */
export interface TunDevice {
  /** The device's name, as the kernel says. */
  readonly name: string;
  /** Whether each packet has a virtio header, so that one read or write may carry many TCP segments. */
  readonly offload: boolean;
  /**
   * Delivers packets until the device is gone, which `fault` reports once. The packet's bytes are the device's again
   * when `deliver` returns. Without `offload` the header is always PLAIN.
   */
  start(deliver: (packet: Uint8Array, header: VirtioHeader) => void, fault: (error: Error) => void): void;
  /** Hands a packet to the kernel, at once. Throws the error of write(2): EIO when the device is down. */
  write(packet: Uint8Array): void;
  /** With `offload` only: the same, with a packet in pieces, of which the first begins with its virtio header. */
  writePieces(pieces: readonly Uint8Array[]): void;
  stop(): void;
}

/**
 * No read of a TUN is longer: an IP packet is at most 65 535 bytes (a jumbogram does not come out of a TUN), and the
 * virtio header is in front of it.
 */
const READ_SIZE = 65_536 + VIRTIO_HEADER;
/** Faults that pass by themselves. All others of read(2) on a TUN mean that the device is gone: EBADFD, EFAULT, EIO. */
const TRANSIENT = new Set(['EAGAIN', 'EINTR', 'ENOBUFS', 'ENOMEM']);
const RETRY_MS = 5;
const PLAIN_HEADER = new Uint8Array(VIRTIO_HEADER);

/** The file system, as far as it is needed here; a test puts its own in place. */
export interface TunIo {
  read(
    fd: number,
    buffer: Uint8Array,
    done: (error: NodeJS.ErrnoException | null, length: number) => void,
  ): void;
  write(fd: number, bytes: Uint8Array): number;
  writev(fd: number, pieces: readonly Uint8Array[]): number;
}

const FILE_SYSTEM: TunIo = {
  read: (fd, buffer, done) => read(fd, buffer, 0, buffer.length, null, done),
  write: (fd, bytes) => writeSync(fd, bytes),
  writev: (fd, pieces) => writevSync(fd, pieces),
};

export interface OpenTunOptions {
  /** How the device was attached: with IFF_VNET_HDR, by `tun-exec --vnet-hdr`, which says so in the environment. */
  readonly offload?: boolean;
  readonly name?: string;
  readonly io?: TunIo;
}

/**
 * The device that tun-exec has opened as `fd`. A read blocks a thread of libuv's pool until a packet comes, so the
 * process cannot end by process.exit while one is pending: see end-process.ts.
 *
 * There are two buffers: while a packet is sent, the thread already waits for the next one, with the other. Not more
 * than that, for two reads at once would bring packets in any order.
 */
export function openTun(
  fd: number,
  {
    offload = process.env.CORDUROY_TUN_VNET_HDR === '1',
    name = tunNameOf(fd),
    io = FILE_SYSTEM,
  }: OpenTunOptions = {},
): TunDevice {
  let stopped = false;
  return {
    name,
    offload,
    start(deliver, fault) {
      const next = (buffer: Buffer, other: Buffer) => {
        if (stopped) return;
        io.read(fd, buffer, (error, length) => {
          if (stopped) return;
          if (error !== null && TRANSIENT.has(error.code ?? '')) setTimeout(next, RETRY_MS, buffer, other);
          else if (error !== null) fault(error);
          else if (length === 0) fault(new Error('end of file: this is no TUN device'));
          else {
            next(other, buffer);
            if (!offload) deliver(buffer.subarray(0, length), PLAIN);
            else deliver(buffer.subarray(VIRTIO_HEADER, length), readVirtioHeader(buffer));
          }
        });
      };
      next(Buffer.alloc(READ_SIZE), Buffer.alloc(READ_SIZE));
    },
    write(packet) {
      if (offload) io.writev(fd, [PLAIN_HEADER, packet]);
      else io.write(fd, packet);
    },
    writePieces(pieces) {
      io.writev(fd, pieces);
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
