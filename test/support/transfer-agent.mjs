// One end of a TCP connection that lasts as long as a test wants it to. Started by transfer.ts.
//
//   send PORT BYTES_PER_SECOND   sends what cannot be guessed to whom connects, until standard input ends
//   receive ADDRESS PORT         says how many bytes have come, every 50 ms
//
// Both end with the number of bytes and their digest, as a line of JSON, the receiver with its longest time without any
// (milliseconds) as well; or with what went wrong.
import { createHash, randomBytes } from 'node:crypto';
import { createConnection, createServer } from 'node:net';

const TICK_MS = 10;
const BLOCK = 1 << 20;
const SAY_EVERY_MS = 50;

const [part, ...words] = process.argv.slice(2);
const hash = createHash('sha256');
let bytes = 0;

function say(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function finish(event) {
  say(event);
  process.exitCode = 'error' in event ? 1 : 0;
}

if (part === 'send') send(...words.map(Number));
else receive(words[0], Number(words[1]));

function send(port, rate) {
  const block = randomBytes(BLOCK);
  let ending = false;
  process.stdin
    .on('data', () => undefined)
    .on('end', () => {
      ending = true;
    });
  const server = createServer((socket) => {
    server.close();
    socket.on('error', (error) => finish({ error: error.message }));
    const began = performance.now();
    const timer = setInterval(() => {
      const due = ((performance.now() - began) / 1000) * rate - bytes;
      for (let left = due; left > 0 && !ending && !socket.writableNeedDrain; ) {
        const size = Math.min(BLOCK, Math.ceil(left));
        const piece = Buffer.from(block.subarray(0, size));
        // Else a block in the place of another would not be noticed.
        if (size >= 8) piece.writeDoubleBE(bytes);
        hash.update(piece);
        bytes += size;
        left -= size;
        socket.write(piece);
      }
      if (!ending) return;
      clearInterval(timer);
      socket.end(() => finish({ bytes, sha256: hash.digest('hex') }));
    }, TICK_MS);
    socket.once('close', () => clearInterval(timer));
  });
  server.listen(port, () => say({ listening: port }));
}

function receive(address, port) {
  const timer = setInterval(() => say({ progress: bytes }), SAY_EVERY_MS);
  let lastAt;
  let longestGap = 0;
  createConnection(port, address)
    .on('data', (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
      const now = performance.now();
      longestGap = Math.max(longestGap, now - (lastAt ?? now));
      lastAt = now;
    })
    .on('end', () => finish({ bytes, sha256: hash.digest('hex'), longestGap: Math.round(longestGap) }))
    .on('error', (error) => finish({ error: error.message }))
    .on('close', () => clearInterval(timer));
}
