import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NetNamespace } from './netns.ts';

export interface Datagram {
  readonly bytes: Buffer;
  readonly address: string;
  readonly port: number;
}

type Event = { readonly event: string; readonly id: number } & Readonly<Record<string, unknown>>;

const WAIT_MS = 5000;

/** A process in a network namespace that opens sockets there for a test. The namespace ends it. */
export class UdpAgent {
  readonly #process: ChildProcess;
  readonly #listeners = new Map<number, (event: Event) => void>();
  #lastId = 0;

  constructor(namespace: Pick<NetNamespace, 'spawn'>) {
    const program = fileURLToPath(new URL('udp-agent.mjs', import.meta.url));
    this.#process = namespace.spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#process;
    if (stdout === null) throw new Error('the agent has no standard output');
    createInterface({ input: stdout }).on('line', (line) => {
      const event = JSON.parse(line) as Event;
      this.#listeners.get(event.id)?.(event);
    });
  }

  /** A UDP socket bound to the address; port 0: any. */
  async open(address: string, port = 0): Promise<AgentSocket> {
    const id = ++this.#lastId;
    const socket = new AgentSocket((command) => this.#tell({ id, ...command }));
    const opened = new Promise<void>((resolve, reject) => {
      this.#listeners.set(id, (event) => {
        if (event.event === 'opened') resolve();
        else if (event.event === 'failed') reject(new Error(`${address}:${port}: ${event.text}`));
        else
          socket.take({
            bytes: Buffer.from(String(event.hex), 'hex'),
            address: String(event.address),
            port: Number(event.port),
          });
      });
    });
    this.#tell({ command: 'open', id, address, port });
    await opened;
    return socket;
  }

  /** What comes of a TCP connection: `connected`, or an error code. */
  async tcp(address: string, port: number, localAddress?: string): Promise<string> {
    const id = ++this.#lastId;
    const outcome = new Promise<string>((resolve) => {
      this.#listeners.set(id, (event) => resolve(String(event.outcome)));
    });
    this.#tell({ command: 'tcp', id, address, port, localAddress });
    return await outcome;
  }

  #tell(command: object): void {
    this.#process.stdin?.write(`${JSON.stringify(command)}\n`);
  }
}

export class AgentSocket {
  readonly #tell: (command: object) => void;
  readonly #queue: Datagram[] = [];
  #waiting: ((datagram: Datagram) => void) | undefined;

  constructor(tell: (command: object) => void) {
    this.#tell = tell;
  }

  send(bytes: Uint8Array, address: string, port: number): void {
    this.#tell({ command: 'send', hex: Buffer.from(bytes).toString('hex'), address, port });
  }

  /** The next datagram that came, or comes within five seconds. */
  async next(): Promise<Datagram> {
    const ready = this.#queue.shift();
    if (ready !== undefined) return ready;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no datagram came within ${WAIT_MS} ms`)), WAIT_MS);
      this.#waiting = (datagram) => {
        clearTimeout(timer);
        resolve(datagram);
      };
    });
  }

  /** All that have come and were not asked for. */
  drain(): Datagram[] {
    return this.#queue.splice(0);
  }

  take(datagram: Datagram): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#queue.push(datagram);
    else waiting(datagram);
  }
}
