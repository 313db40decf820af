import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { CorduroyError, messageOf } from '../../errors.ts';
import { type Endpoint, formatEndpoint } from '../../net/endpoint.ts';
import { Ip } from '../../net/ip.ts';

/** The UDP socket to the peers. */
export interface OuterSocket {
  /**
   * Each datagram comes with an event of its own; `endOfTurn` comes after all that came in one turn of the event loop.
   * `sender`: the outer source address in the form of Ip.toString. The packet is not used again.
   */
  start(
    deliver: (packet: Uint8Array, sender: string) => void,
    endOfTurn: () => void,
    fault: (error: Error) => void,
  ): void;
  /**
   * The packet is the socket's from now on, which may have to keep it. `done` gets the length of what was sent; or
   * ENOBUFS, at once, when too many wait to be sent.
   */
  send(
    packet: Uint8Array,
    host: string,
    port: number,
    done: (error: Error | null, length: number) => void,
  ): void;
  close(): void;
}

/** Bytes asked for; without CAP_NET_ADMIN the kernel gives no more than net.core.rmem_max and wmem_max. */
const SOCKET_BUFFER = 7 * 1024 * 1024;

/**
 * Packets that wait behind the socket's own buffer. libuv keeps what sendmsg(2) refuses with EAGAIN, without a limit,
 * and nothing slows down who sends into the TUN. 1000 is what Linux lets a network device queue by default
 * (DEFAULT_TX_QUEUE_LEN). Packets and not bytes: a waiting packet costs some 1 KB besides its bytes, which
 * getSendQueueSize leaves out, so that 4 MiB of the smallest would take 180 MB. 1000 take some 1 MB, and 1000 MTUs.
 */
const QUEUE_MAX = 1000;

/** One for all packets: a flood should not pay for a stack trace each. */
const QUEUE_FULL = Object.assign(new Error('send ENOBUFS'), { code: 'ENOBUFS' });

/** @throws CorduroyError `datapath` when the address is taken or not one of the host's */
export async function openOuterSocket(listen: Endpoint): Promise<OuterSocket> {
  const v6 = listen.address.family === 6;
  const socket = createSocket({
    type: v6 ? 'udp6' : 'udp4',
    ipv6Only: v6,
    recvBufferSize: SOCKET_BUFFER,
    sendBufferSize: SOCKET_BUFFER,
    // Addresses are numeric. Node would ask its resolver even so, with a thread and a file for every packet.
    lookup: (host, _options, callback) => callback(null, host, v6 ? 6 : 4),
  });
  const listening = once(socket, 'listening');
  socket.bind({ address: listen.address.toString(), port: listen.port, exclusive: true });
  try {
    await listening;
  } catch (cause) {
    socket.close();
    throw new CorduroyError(
      'datapath',
      `cannot listen on UDP ${formatEndpoint(listen)} (${messageOf(cause)}): it has to be free, and an address of this host`,
      { cause },
    );
  }
  return wrap(socket, v6);
}

function wrap(socket: Socket, v6: boolean): OuterSocket {
  return {
    start(deliver, endOfTurn, fault) {
      const canonical = v6 ? rememberCanonical() : (text: string) => text;
      let told = true;
      const tell = () => {
        told = true;
        endOfTurn();
      };
      socket.on('error', fault);
      socket.on('message', (packet, from) => {
        deliver(packet, canonical(from.address));
        // libuv reads up to 32 datagrams, then others' sockets; immediates come after that.
        if (told) setImmediate(tell);
        told = false;
      });
    },
    send(packet, host, port, done) {
      const waiting = socket.getSendQueueCount();
      if (waiting >= QUEUE_MAX) done(QUEUE_FULL, 0);
      // sendmsg(2) is called at once, before this returns, unless something waits already. What has to wait is copied:
      // a segment lies in one piece of memory with all of its super packet, and would keep it.
      else socket.send(waiting === 0 ? packet : Buffer.from(packet), port, host, done);
    },
    close() {
      socket.close();
    },
  };
}

/** Addresses whose canonical form is remembered: there are few peers, and strangers shall not fill the memory. */
const REMEMBERED_MAX = 1000;

/**
 * libuv writes some IPv6 addresses in another form than RFC 5952 (`::ffff:192.0.2.1`), and adds a zone. To parse each
 * sender's address would cost more than to forward its packet.
 */
function rememberCanonical(): (text: string) => string {
  const remembered = new Map<string, string>();
  return (text) => {
    const known = remembered.get(text);
    if (known !== undefined) return known;
    const canonical = Ip.tryParse(text)?.toString() ?? text;
    if (remembered.size >= REMEMBERED_MAX) remembered.clear();
    remembered.set(text, canonical);
    return canonical;
  };
}
