// Opens sockets where a test cannot: in a network namespace. Commands and events are JSON, one a line. See udp-agent.ts.
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const sockets = new Map();
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const commands = {
  open({ id, address, port }) {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
    sockets.set(id, socket);
    socket.on('error', (error) => say({ event: 'failed', id, text: error.message }));
    socket.on('message', (bytes, from) => {
      say({ event: 'message', id, hex: bytes.toString('hex'), address: from.address, port: from.port });
    });
    socket.bind(port, address, () => say({ event: 'opened', id, port: socket.address().port }));
  },
  send({ id, hex, address, port }) {
    sockets.get(id).send(Buffer.from(hex, 'hex'), port, address, (error) => {
      if (error) say({ event: 'failed', id, text: error.message });
    });
  },
  tcp({ id, address, port, localAddress }) {
    const socket = connect({ host: address, port, localAddress });
    socket.on('connect', () => say({ event: 'tcp', id, outcome: 'connected' }));
    socket.on('error', (error) => say({ event: 'tcp', id, outcome: error.code }));
  },
};

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { command, ...args } = JSON.parse(line);
    commands[command](args);
  })
  .on('close', () => process.exit(0));
