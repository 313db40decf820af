import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSocketServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DockerApi } from '../../../../src/bridge/docker/docker-api.ts';
import { dockerRequest, isAway } from '../../../../src/bridge/docker/http.ts';

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'docker.sock');
}

async function serve(listener: RequestListener): Promise<string> {
  const path = socketPath();
  const server = createServer(listener).listen(path);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((resolve) => server.once('listening', resolve));
  return path;
}

async function serveBytes(answer: (socket: Socket) => void): Promise<string> {
  const path = socketPath();
  const server = createSocketServer((socket) => {
    socket.on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    socket.once('data', () => answer(socket));
  }).listen(path);
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  return path;
}

const VERSION = { Version: '20.10.24', ApiVersion: '1.41' };
/** A dockerd that answers by the path without its query, and notes what it was asked. */
async function dockerd(answers: Readonly<Record<string, unknown>>, asked: string[] = []): Promise<string> {
  return await serve((request, response) => {
    let content = '';
    request.on('data', (chunk) => {
      content += chunk;
    });
    request.on('end', () => {
      const [path = '', query = ''] = (request.url ?? '').split('?');
      asked.push(`${request.method} ${path} ${decodeURIComponent(query)}${content}`.trim());
      const answer = path === '/version' ? VERSION : answers[path];
      response.statusCode = answer === undefined ? 404 : 200;
      response.end(JSON.stringify(answer ?? { message: 'page not found' }));
    });
  });
}

const network = (Name: string, Id = 'x') => ({
  Id,
  Name,
  Driver: 'bridge',
  IPAM: { Config: null },
  Options: null,
});

describe("dockerd's API", () => {
  test("is spoken in dockerd's own version", async () => {
    const asked: string[] = [];
    const api = await DockerApi.connect(await dockerd({ '/v1.41/networks': [] }, asked));
    expect(await api.networks('corduroy')).toEqual([]);
    expect(asked).toEqual(['GET /version', 'GET /v1.41/networks filters={"name":["corduroy"]}']);
    expect([api.version, api.api]).toEqual(['20.10.24', { major: 1, minor: 41 }]);
  });

  test('a network is one of exactly that name', async () => {
    const all = [network('corduroy2'), network('corduroy', 'y'), network('a-corduroy')];
    const api = await DockerApi.connect(await dockerd({ '/v1.41/networks': all }));
    expect((await api.networks('corduroy')).map(({ Id }) => Id)).toEqual(['y']);
  });

  test('containers are asked for by name and by id, those that do not run, too', async () => {
    const asked: string[] = [];
    const containers = [
      { Id: 'c1', Names: ['/web'] },
      { Id: '0123456789abcdef', Names: null },
    ];
    const api = await DockerApi.connect(await dockerd({ '/v1.41/containers/json': containers }, asked));
    expect(await api.containersOf(network('corduroy'))).toEqual(['web', '0123456789ab']);
    expect(asked[1]).toContain('all=1&filters={"network":["x","corduroy"]}');
  });

  test('a network is made with its addresses, options and labels', async () => {
    const asked: string[] = [];
    const api = await DockerApi.connect(await dockerd({ '/v1.41/networks/create': { Id: 'n' } }, asked));
    await api.createNetwork({
      name: 'n',
      pools: [{ subnet: '10.5.3.0/24', gateway: '10.5.3.1' }],
      options: { a: 'b' },
      labels: { c: 'd' },
    });
    expect(JSON.parse(asked[1]?.replace(/^POST \S+ /, '') ?? '')).toEqual({
      Name: 'n',
      CheckDuplicate: true,
      Driver: 'bridge',
      IPAM: { Driver: 'default', Config: [{ Subnet: '10.5.3.0/24', Gateway: '10.5.3.1' }] },
      Options: { a: 'b' },
      Labels: { c: 'd' },
    });
  });

  test.each([
    ['both families', '1.41', ['10.5.3.0/24', 'fd00:3::/64'], { EnableIPv6: true }],
    ['IPv6 only', '1.48', ['fd00:3::/64'], { EnableIPv6: true, EnableIPv4: false }],
    ['IPv6 only, of a Docker that has always IPv4', '1.47', ['fd00:3::/64'], { EnableIPv6: true }],
    ['IPv4 only', '1.48', ['10.5.3.0/24'], {}],
  ])('a network with %s', async (_what, version, subnets, enabled) => {
    let content = '';
    const path = await serve((request, response) => {
      if (request.url === '/version') {
        response.end(JSON.stringify({ ...VERSION, ApiVersion: version }));
        return;
      }
      request.on('data', (chunk) => {
        content += chunk;
      });
      request.on('end', () => response.end('{"Id": "n"}'));
    });
    const pools = subnets.map((subnet) => ({ subnet, gateway: subnet.replace(/0?\/.*/, '1') }));
    await (await DockerApi.connect(path)).createNetwork({ name: 'n', pools, options: {}, labels: {} });
    const { EnableIPv4, EnableIPv6, IPAM } = JSON.parse(content);
    expect({ EnableIPv4, EnableIPv6 }).toEqual(enabled);
    expect(IPAM.Config.map(({ Subnet }: { Subnet: string }) => Subnet)).toEqual(subnets);
    if (subnets.length === 2) expect(IPAM.Config[1]).toEqual({ Subnet: 'fd00:3::/64', Gateway: 'fd00:3::1' });
  });

  test('a refusal says what was refused, and why, on one line', async () => {
    const path = await serve((request, response) => {
      if (request.url === '/version') response.end(JSON.stringify(VERSION));
      else response.writeHead(403).end('{"message": "Pool overlaps\\nwith \\u001b[31mother"}');
    });
    const api = await DockerApi.connect(path);
    const refusal = api.removeNetwork({ Id: 'x', Name: 'corduroy' });
    await expect(refusal).rejects.toMatchObject({
      code: 'docker',
      retryable: false,
      message: 'Docker refuses to remove network corduroy: Pool overlaps\\nwith \\u001b[31mother',
    });
  });

  test('an id cannot lead anywhere else', async () => {
    const asked: string[] = [];
    const api = await DockerApi.connect(await dockerd({}, asked));
    await expect(api.removeNetwork({ Id: '../containers/x?force=1', Name: 'n' })).rejects.toThrow(
      'page not found',
    );
    expect(asked[1]).toBe('DELETE /v1.41/networks/..%2Fcontainers%2Fx%3Fforce%3D1');
  });

  test.each<[string, unknown]>([
    ['no version', {}],
    ['a version that leads elsewhere', { Version: '1', ApiVersion: '1.41/../x' }],
    ['null', null],
    ['a list', []],
  ])('who answers %s is not dockerd', async (_what, answer) => {
    const path = await serve((_request, response) => response.end(JSON.stringify(answer)));
    await expect(DockerApi.connect(path)).rejects.toThrow(/is not Docker's .*--docker-socket/);
  });

  test.each<[string, unknown]>([
    ['no list', { networks: [] }],
    ['a network without an id', [{ ...network('corduroy'), Id: undefined }]],
    ['labels that are none', [{ ...network('corduroy'), Labels: ['x'] }]],
    ['addresses that are none', [{ ...network('corduroy'), IPAM: { Config: 'x' } }]],
  ])('%s is not understood, and said so', async (_what, answer) => {
    const api = await DockerApi.connect(await dockerd({ '/v1.41/networks': answer }));
    await expect(api.networks('corduroy')).rejects.toThrow(/is not Docker's/);
  });
});

describe('a request', () => {
  const ask = (path: string) => dockerRequest(path, 'GET', '/version', { timeout: 100 });

  test.each<[string, (socket: Socket) => void]>([
    ['says nothing', () => undefined],
    [
      'trickles',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        const timer = setInterval(() => socket.write(' '), 20);
        onTestFinished(() => clearInterval(timer));
      },
    ],
    ['hangs up', (socket) => socket.destroy()],
    ['hangs up half-way', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"a"')],
  ])('to a dockerd that %s fails as one that is away', async (_what, answer) => {
    const path = await serveBytes(answer);
    const error = await ask(path).catch((reason: unknown) => reason);
    expect(isAway(error)).toBe(true);
  });

  test('to nobody, too', async () => {
    const error = await ask(socketPath()).catch((reason: unknown) => reason);
    expect(isAway(error)).toBe(true);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['no JSON', (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\n<html>')],
    [
      'without an end',
      (socket) => {
        socket.write('HTTP/1.0 200 OK\r\n\r\n');
        socket.write(Buffer.alloc(5 * 2 ** 20, ' '));
      },
    ],
  ])('to something that answers %s is no reason to wait', async (_what, answer) => {
    const path = await serveBytes(answer);
    const error = await dockerRequest(path, 'GET', '/version', { timeout: 5000 }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'docker', retryable: false, message: expect.stringContaining(path) });
  });
});
