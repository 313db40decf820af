// Asks a data plane what it holds, over a connection of its own, and looks only at the bytes that matter: reading the
// counters of 5 000 peers into objects twenty times a second would be a load by itself.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const LENGTH_FIELD = 4;
const HEADER = 8;
/** Of an IPv4 peer: family, address, four counters, path MTU, length of the text that follows. */
const PEER_BYTES = 1 + 4 + 32 + 4 + 2;

export class EngineProbe {
  #socket;
  #statsRequest;
  #received = [];
  #wanted = Number.POSITIVE_INFINITY;
  #length = 0;
  #answered = () => undefined;

  /** @param {{ encodeFrame: Function, REQUEST_TYPES: object }} protocol of the build */
  constructor(socket, { encodeFrame, REQUEST_TYPES }) {
    this.#socket = socket;
    this.#statsRequest = encodeFrame(REQUEST_TYPES.stats, 1, new Uint8Array(0));
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', () => this.#answered(undefined));
    socket.on('close', () => this.#answered(undefined));
  }

  /** Waits until an engine listens. */
  static async open(socketPath, protocol, patience) {
    const deadline = performance.now() + patience;
    while (performance.now() < deadline) {
      const socket = await tryConnect(socketPath);
      if (socket !== undefined) return new EngineProbe(socket, protocol);
      await sleep(2);
    }
    throw new Error(`no data plane listens on ${socketPath} after ${patience} ms`);
  }

  /** @returns the payload of STATS, see docs/control-protocol.md */
  async ask() {
    const answer = new Promise((resolve) => {
      this.#answered = resolve;
    });
    this.#socket.write(this.#statsRequest);
    const frame = await answer;
    if (frame === undefined) throw new Error('the data plane has closed the connection of the probe');
    return frame.subarray(HEADER);
  }

  async routes() {
    return (await this.ask()).readUInt32BE(8);
  }

  close() {
    this.#socket.destroy();
  }

  #receive(chunk) {
    this.#received.push(chunk);
    this.#length += chunk.length;
    if (this.#wanted === Number.POSITIVE_INFINITY) {
      const start = Buffer.concat(this.#received);
      if (start.length < LENGTH_FIELD) return;
      this.#wanted = LENGTH_FIELD + start.readUInt32BE(0);
    }
    if (this.#length < this.#wanted) return;
    const frame = Buffer.concat(this.#received);
    this.#received = [];
    this.#length = 0;
    this.#wanted = Number.POSITIVE_INFINITY;
    this.#answered(frame);
  }
}

/** The outer IPv4 addresses, as numbers, that any route leads to, of a payload of STATS. */
export function* peerAddresses(payload) {
  let at = 12;
  at += 2 + payload.readUInt16BE(at) * 10;
  for (let left = payload.readUInt8(at++); left > 0; left--) at += 4 + payload.readUInt16BE(at + 2);
  let left = payload.readUInt32BE(at);
  for (at += 4; left > 0; left--) {
    if (payload.readUInt8(at) !== 4) throw new Error('a peer with an IPv6 address, where all have IPv4');
    yield payload.readUInt32BE(at + 1);
    at += PEER_BYTES + payload.readUInt16BE(at + PEER_BYTES - 2);
  }
}

function tryConnect(socketPath) {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}
