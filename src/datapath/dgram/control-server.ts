import { once } from 'node:events';
import { Server, type Socket } from 'node:net';
import { CorduroyError, messageOf } from '../../errors.ts';
import { decodeRequest, encodeError, type Request } from '../messages.ts';
import {
  ERROR_TYPE,
  encodeFrame,
  type Frame,
  FrameReader,
  PROTOCOL_VERSION,
  REQUEST_TYPES,
  RESPONSE_BIT,
  type Refusal,
} from '../protocol.ts';
import type { Log } from './log.ts';

export type Reply =
  | {
      readonly kind: 'granted';
      readonly payload?: Uint8Array /** When the answer is out. */;
      readonly afterwards?: () => void;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly text: string };

export type Handler = (request: Request) => Reply | Promise<Reply>;

/** Root alone can connect, but a daemon with a defect must not use up the engine's descriptors. */
const CONNECTIONS_MAX = 32;

/**
 * Answers the control protocol. Requests are handled one at a time over all connections, and answered in order. A
 * connection whose bytes make no sense gets an ERROR and is closed; the others, and the packets, notice nothing.
 */
export class ControlServer {
  readonly #server: Server;
  readonly #handler: Handler;
  readonly #identity: string;
  readonly #log: Log;
  #last: Promise<unknown> = Promise.resolve();

  /** @param identity names the engine in the text about a version mismatch */
  constructor(handler: Handler, identity: string, log: Log) {
    this.#handler = handler;
    this.#identity = identity;
    this.#log = log;
    this.#server = new Server((socket) => {
      this.#serve(socket).catch((error: unknown) => {
        // The client is gone, in the middle of something: its affair.
        this.#log.once('control-connection', `a control connection broke: ${messageOf(error)}`);
        socket.destroy();
      });
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /**
   * @param where `fd`: a listening Unix socket. A path is for tests.
   * @throws CorduroyError `datapath` when the descriptor is no such socket
   */
  async listen(where: { readonly fd: number } | { readonly path: string }): Promise<void> {
    const listening = once(this.#server, 'listening');
    this.#server.listen(where);
    try {
      await listening;
    } catch (cause) {
      throw new CorduroyError(
        'datapath',
        `${JSON.stringify(where)} is no listening socket (${messageOf(cause)}): start the engine with ` +
          'corduroy-datapath tun-exec NAME --listen SOCKET -- CMD…',
        { cause },
      );
    }
    this.#server.on('error', (error) =>
      this.#log.once('control', `the control socket has a fault, and goes on: ${error.message}`),
    );
  }

  close(): void {
    this.#server.close();
  }

  async #serve(socket: Socket): Promise<void> {
    const frames = new FrameReader();
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      try {
        for (const frame of frames.push(chunk)) {
          const fit = await this.#answer(socket, frame);
          if (!fit) return;
        }
      } catch (error) {
        await this.#refuseMalformed(socket, 0, messageOf(error));
        return;
      }
    }
  }

  /** Whether the connection is of any further use. */
  async #answer(socket: Socket, frame: Frame): Promise<boolean> {
    // SHUTDOWN is the same in every version: another program's daemon can end this engine and start its own.
    if (frame.version !== PROTOCOL_VERSION && frame.type !== REQUEST_TYPES.shutdown) {
      const text =
        `the request is of protocol version ${frame.version}, and ${this.#identity} speaks version ` +
        `${PROTOCOL_VERSION}: it goes on forwarding; to have the matching version started: corduroy datapath restart`;
      await send(socket, ERROR_TYPE, frame.id, encodeError('version-mismatch', text));
      return true;
    }
    let request: Request | undefined;
    try {
      request = decodeRequest(frame.type, frame.payload);
    } catch (error) {
      await this.#refuseMalformed(socket, frame.id, messageOf(error));
      return false;
    }
    if (request === undefined) {
      const text = `there is no request of type ${frame.type} in version ${PROTOCOL_VERSION}`;
      await send(socket, ERROR_TYPE, frame.id, encodeError('unknown-request', text));
      return true;
    }
    const reply = await this.#handle(request);
    if (reply.kind === 'refused') {
      await send(socket, ERROR_TYPE, frame.id, encodeError(reply.refusal, reply.text));
      return true;
    }
    await send(socket, frame.type | RESPONSE_BIT, frame.id, reply.payload ?? new Uint8Array(0));
    reply.afterwards?.();
    return true;
  }

  #handle(request: Request): Promise<Reply> {
    const reply = this.#last.then(async (): Promise<Reply> => {
      try {
        return await this.#handler(request);
      } catch (error) {
        this.#log.info(
          `defect: ${request.kind} failed: ${error instanceof Error ? error.stack : String(error)}`,
        );
        return { kind: 'refused', refusal: 'internal', text: `a defect of the engine: ${messageOf(error)}` };
      }
    });
    this.#last = reply;
    return reply;
  }

  async #refuseMalformed(socket: Socket, id: number, text: string): Promise<void> {
    this.#log.once(
      'control-malformed',
      `a control connection was closed, it sent a malformed request: ${text}`,
    );
    await send(socket, ERROR_TYPE, id, encodeError('malformed', text));
  }
}

/** Resolves when the bytes are out, or the client is gone: then the loop over its chunks ends by itself. */
function send(socket: Socket, type: number, id: number, payload: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    socket.write(encodeFrame(type, id, payload), () => resolve());
  });
}
