import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';

export interface Certificate {
  /** PEM: what is shown, with what else is shown after it. */
  readonly cert: string;
  readonly key: string;
}

/**
 * Somebody who answers in etcd's place, and remembers what is said to him. He may pass the first connections on to the
 * real one.
 */
export class Impostor {
  readonly #doors: Server;
  readonly #inside: TlsServer;
  readonly #sockets = new Set<Socket>();
  /** Bytes that came decrypted, and so were meant for etcd alone. */
  heard = Buffer.alloc(0);
  connections = 0;

  private constructor(
    certificate: Certificate,
    real: { readonly port: number } | undefined,
    passedOn: number,
  ) {
    this.#inside = createTlsServer({ ...certificate, ALPNProtocols: ['h2'] }, (socket) => {
      socket.on('data', (bytes: Buffer) => {
        this.heard = Buffer.concat([this.heard, bytes]);
        socket.destroy(); // He has what he came for.
      });
      socket.on('error', () => undefined);
    });
    this.#inside.on('tlsClientError', () => undefined);
    this.#doors = createServer((client) => {
      this.#sockets.add(client);
      client.on('error', () => undefined);
      if (++this.connections <= passedOn && real !== undefined) {
        const server = connect(real.port, '127.0.0.1');
        server.on('error', () => client.destroy());
        client.pipe(server).pipe(client);
      } else this.#inside.emit('connection', client);
    });
  }

  /**
   * @param passedOn how many of the first connections go to the real etcd
   * @param host where he listens
   */
  static async start(
    certificate: Certificate,
    real?: { readonly port: number },
    passedOn = 0,
    host = '127.0.0.1',
  ): Promise<Impostor> {
    const impostor = new Impostor(certificate, real, passedOn);
    impostor.#doors.listen(0, host);
    await once(impostor.#doors, 'listening');
    return impostor;
  }

  get address(): string {
    const { address, port } = this.#doors.address() as AddressInfo;
    return `${address}:${port}`;
  }

  stop(): void {
    this.#doors.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export function certificateFrom(
  files: { readonly cert: string; readonly key: string },
  ...more: string[]
): Certificate {
  return {
    cert: [files.cert, ...more].map((path) => readFileSync(path, 'utf8')).join(''),
    key: readFileSync(files.key, 'utf8'),
  };
}
