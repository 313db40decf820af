import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { holderIn, requireFreePort, unitIn } from '../../../src/enroll/port-holder.ts';

describe('who holds a port', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.close();
  });

  test('is read from ss and from the control group', () => {
    const line = 'LISTEN 0 4096 127.0.0.1:2379 0.0.0.0:* users:(("etcd",pid=312,fd=6))\n';
    expect(holderIn(line)).toEqual({ name: 'etcd', pid: 312 });
    expect(holderIn('')).toBeUndefined();
    expect(unitIn('0::/system.slice/etcd.service\n')).toBe('etcd.service');
    expect(unitIn('1:name=systemd:/system.slice/etcd@a.service\n0::/user.slice\n')).toBe('etcd@a.service');
    expect(unitIn('0::/user.slice/user-0.slice/session-1.scope\n')).toBeUndefined();
  });

  test('is named with what to do; a free port is no error', async () => {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await expect(requireFreePort(`127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'foreign-object',
      message: expect.stringMatching(
        new RegExp(`\\(pid ${process.pid}.* listens on TCP port ${port}.*docs/etcd.md`, 's'),
      ),
    });
    server.close();
    await once(server, 'close');
    await requireFreePort(`127.0.0.1:${port}`);
  });

  test('an address that is not of this host', async () => {
    await expect(requireFreePort('192.0.2.77:2379')).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('192.0.2.77:2379'),
    });
  });
});
