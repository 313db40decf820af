import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NetNamespace } from '../../../support/netns.ts';

const FRAME_HEADER = 8;
const SYNC = 2;
const FIRST_PEER = 16;
const OUT_OF_PLAIN = 3;
const WAIT_MS = 20_000;

/** Where a packet with a virtio header goes in: the engine's device, or one where the kernel does all the work. */
export const INTO = { tun: 0, plain: 1 } as const;

export interface WireAgentOptions {
  readonly tun: string;
  /** The name of a plain device, which is made. */
  readonly plain: string;
  readonly host: string;
  readonly port: number;
  /** Outer addresses. */
  readonly peers: readonly string[];
}

/** wire-agent.c, compiled and run in a namespace, which ends it. */
export class WireAgent {
  /** What has come out of the plain device, and at each peer, since it was last taken. */
  fromPlain: Buffer[] = [];
  atPeer: Buffer[][];
  readonly #process: ChildProcess;
  #rest: Buffer = Buffer.alloc(0);
  #syncs: ((refused: number) => void)[] = [];
  #arrived: () => void = () => {};

  constructor(namespace: NetNamespace, { tun, plain, host, port, peers }: WireAgentOptions) {
    const folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
    const program = join(folder, 'wire-agent');
    const source = fileURLToPath(new URL('wire-agent.c', import.meta.url));
    execFileSync('cc', ['-std=c11', '-O2', '-o', program, source]);
    this.#process = namespace.spawn(program, [tun, plain, host, String(port), ...peers], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    this.#process.setMaxListeners(0);
    this.#process.stdin?.on('error', () => {}); // it has ended, and sync tells
    this.atPeer = peers.map(() => []);
    this.#process.stdout?.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  /** Puts a packet, with its virtio header in front, into a device. */
  inject(into: keyof typeof INTO, packet: Buffer): void {
    this.#tell(INTO[into], packet);
  }

  /** Sends to the engine: one datagram, or several of `segment` bytes, of which the last may be shorter. */
  send(peer: number, bytes: Buffer, segment = 0): void {
    this.#tell(FIRST_PEER + peer, bytes, segment);
  }

  /** Resolves when all that was told is done, with the number of packets that the kernel has ever refused. */
  async sync(): Promise<number> {
    const done = new Promise<number>((resolve, reject) => {
      this.#process.once('exit', () => reject(new Error('the wire agent has ended: it has said why')));
      this.#syncs.push(resolve);
    });
    this.#tell(SYNC, Buffer.alloc(0));
    return await done;
  }

  /** Resolves when it is so; looks whenever something comes. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!isSo()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`${what}: not within ${WAIT_MS} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#arrived = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #tell(channel: number, bytes: Buffer, segment = 0): void {
    const header = Buffer.alloc(FRAME_HEADER);
    header[0] = channel;
    header.writeUInt16LE(segment, 2);
    header.writeUInt32LE(bytes.length, 4);
    this.#process.stdin?.write(Buffer.concat([header, bytes]));
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + FRAME_HEADER <= bytes.length) {
      const end = at + FRAME_HEADER + bytes.readUInt32LE(at + 4);
      if (end > bytes.length) break;
      this.#file(bytes[at] ?? 0, bytes.subarray(at + FRAME_HEADER, end));
      at = end;
    }
    this.#rest = bytes.subarray(at);
    this.#arrived();
  }

  #file(channel: number, bytes: Buffer): void {
    if (channel === SYNC) this.#syncs.shift()?.(bytes.readUInt32LE(0));
    else if (channel === OUT_OF_PLAIN) this.fromPlain.push(bytes);
    else this.atPeer[channel - FIRST_PEER]?.push(bytes);
  }
}
