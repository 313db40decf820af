import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { CorduroyError, messageOf } from '../../errors.ts';
import { type Endpoint, formatEndpoint } from '../../net/endpoint.ts';
import { Ip } from '../../net/ip.ts';

/** The UDP socket to the peers. */
export interface OuterSocket {
  /** `sender`: the outer source address in the form of Ip.toString. */
  start(deliver: (packet: Uint8Array, sender: string) => void, fault: (error: Error) => void): void;
  /** Takes a copy where it has to keep the packet. `done` gets ENOBUFS, at once, when too many wait to be sent. */
  send(packet: Uint8Array, host: string, port: number, done: (error: Error | null) => void): void;
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
    start(deliver, fault) {
      socket.on('error', fault);
      socket.on('message', (packet, from) => deliver(packet, v6 ? canonical(from.address) : from.address));
    },
    send(packet, host, port, done) {
      if (socket.getSendQueueCount() >= QUEUE_MAX) return done(QUEUE_FULL);
      // The kernel may be out of buffers, and then libuv keeps the bytes for later.
      socket.send(Buffer.from(packet), port, host, done);
    },
    close() {
      socket.close();
    },
  };
}

/** libuv writes some IPv6 addresses in another form than RFC 5952 (`::ffff:192.0.2.1`), and adds a zone. */
function canonical(text: string): string {
  return Ip.tryParse(text)?.toString() ?? text;
}
