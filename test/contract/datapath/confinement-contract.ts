import { chmodSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type EngineLab, HOST, PEER_A, PORT } from './engine-lab.ts';

/** Says what comes of a connection to the control socket: HELLO is sent, and answered or not. */
const CLIENT = `
  const socket = require('node:net').connect(process.argv[1]);
  const says = (text) => { console.log(text); process.exit(0); };
  socket.on('connect', () => socket.write(Buffer.from('0000000402010001', 'hex')));
  socket.on('data', () => says('answered'));
  socket.on('error', (error) => says(error.code));
  socket.on('close', () => says('closed'));
`;
const NOBODY = '65534';

/** What is left to an engine that somebody has taken over. */
export function describeConfinement(lab: () => EngineLab): void {
  test('it is nobody, may do nothing, and cannot change that', async () => {
    await lab().connectConfigured();
    for (const thread of readdirSync(`/proc/${lab().pid}/task`)) {
      const status = readFileSync(`/proc/${lab().pid}/task/${thread}/status`, 'utf8');
      expect(status).toMatch(/^Seccomp:\t2$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      expect(status).toMatch(/^Uid:(\t[1-9]\d*){4}$/m);
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        expect(status).toMatch(new RegExp(`^${set}:\t0+$`, 'm'));
    }
  });

  test('it holds the device, its sockets and the log, and nothing else', async () => {
    await lab().connectConfigured();
    const peer = await lab().agent.open(PEER_A.outer, PORT);
    const local = await lab().agent.open(HOST.inner);
    local.send(Buffer.from('at work'), PEER_A.inner, 9);
    await peer.next();

    const [input, output, log, ...files] = openFiles(lab().pid);
    expect([input, output]).toEqual([log, log]);
    const sockets = files.filter((file) => file.startsWith('socket:'));
    expect(files.filter((file) => !file.startsWith('socket:'))).toEqual(['/dev/net/tun']);
    // One to the peers, and one that tells the path MTU; the control socket, and the connection of this test.
    expect(ofKind(lab().pid, sockets, 'udp')).toHaveLength(2);
    expect(ofKind(lab().pid, sockets, 'unix')).toHaveLength(2);
    expect(sockets).toHaveLength(4);
  });

  test('another user is not answered, even where the socket file lets everybody in; root is', async () => {
    await lab().connectConfigured();
    chmodSync(lab().socketPath, 0o666);
    chmodSync(dirname(lab().socketPath), 0o755);
    const client = [process.execPath, '-e', CLIENT, lab().socketPath];
    const asNobody = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups'];
    for (let repeated = 0; repeated < 2; repeated++)
      expect(await lab().namespace.run('setpriv', ...asNobody, ...client)).toMatch(
        /^(closed|ECONNRESET|EPIPE)\n$/,
      );
    expect(await lab().namespace.run('setpriv', ...client)).toBe('answered\n');
    for (const deadline = performance.now() + 2000; performance.now() < deadline; await sleep(10))
      if (/neither root's/.test(lab().log)) break;
    expect(lab().log.match(/a control connection was closed, it is neither root's/g)).toHaveLength(1);
  });
}

/** In the order of their descriptors. */
function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .sort((one, other) => Number(one) - Number(other))
    .map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

/** Those of the sockets that the kernel lists in /proc/net: an accepted Unix socket is in the namespace of its client. */
function ofKind(pid: number, sockets: readonly string[], kind: 'udp' | 'unix'): string[] {
  const column = kind === 'udp' ? 9 : 6;
  const inodes = new Set(
    [String(pid), 'self']
      .flatMap((process) => readFileSync(`/proc/${process}/net/${kind}`, 'utf8').split('\n').slice(1))
      .map((line) => line.trim().split(/\s+/)[column]),
  );
  return sockets.filter((socket) => inodes.has(socket.slice('socket:['.length, -1)));
}
