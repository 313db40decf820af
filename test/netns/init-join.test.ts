import { type ChildProcess, execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUN_FILES } from '../../src/config/names.ts';
import { daemonRequest } from '../../src/daemon/control-client.ts';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { labObstacle, until } from '../support/lab.ts';
import { NetNamespace } from '../support/netns.ts';
import { programsUnderTest } from '../support/programs.ts';

const obstacle = labObstacle();
const execute = promisify(execFile);
const POINT_TO_POINT = { a: '192.0.2.1', b: '192.0.2.2' };

/** Two hosts without systemd: what `--no-start` prints is what has to be done. */
describe.skipIf(obstacle)(`corduroy init and join, started by hand ${obstacle ?? ''}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'cdyt-byhand-'));
  const namespaces = new Map<string, NetNamespace>();
  const daemons: string[] = [];

  beforeAll(async () => {
    mkdirSync(join(folder, 'bin'));
    for (const program of ['corduroy', 'corduroyd'])
      symlinkSync(join(programsUnderTest(), `${program}.js`), join(folder, 'bin', program));
    const [a, b] = [await NetNamespace.create(), await NetNamespace.create()];
    namespaces.set('a', a).set('b', b);
    await a.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b.name);
    for (const [name, address] of Object.entries(POINT_TO_POINT)) {
      await on(name).script(`
        ip address add ${address}/24 dev eth0
        ip link set eth0 up
        ip route add default dev eth0`);
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'machine-id'), `${name.repeat(32)}\n`);
      const settings = {
        'run-dir': join(folder, name, 'run'),
        'state-dir': join(folder, name, 'state'),
        'subnet-file': join(folder, name, 'subnet.env'),
        'machine-id-file': join(folder, name, 'machine-id'),
        bridge: 'cbr0',
      };
      writeFileSync(config(name), JSON.stringify(settings));
    }
  });
  afterAll(async () => {
    for (const name of daemons) await corduroy(name, 'down').catch(() => undefined);
    for (const namespace of namespaces.values()) await namespace.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const on = (name: string): NetNamespace => {
    const namespace = namespaces.get(name);
    if (namespace === undefined) throw new Error(`there is no host ${name}`);
    return namespace;
  };
  const config = (name: string) => join(folder, name, 'corduroyd.json');
  const environment = { PATH: `${join(folder, 'bin')}:${process.env.PATH}` };
  const corduroy = async (name: string, ...args: string[]) => {
    const [program, words] = on(name).command('corduroy', [...args, `--config-file=${config(name)}`]);
    return (await execute(program, words, { env: environment, timeout: 60_000 })).stdout;
  };
  /** As somebody would who copies the line to a shell. @returns the process, which the line ends by becoming */
  const paste = (name: string, line: string): ChildProcess => {
    const words = line.replace(/(etcd --config|corduroyd )/, 'exec $1');
    return on(name).spawn('sh', ['-ec', words], { env: environment, stdio: 'ignore' });
  };
  const status = async (name: string) =>
    (await daemonRequest(join(folder, name, 'run', RUN_FILES.daemonSocket), 'GET', '/v1/status').catch(
      () => undefined,
    )) as StatusDocument | undefined;
  const indented = (text: string) => text.split('\n').flatMap((line) => /^ {2}(\S.*)$/.exec(line)?.[1] ?? []);

  it('two hosts know each other, and everything that was printed was true', async () => {
    const init = () => corduroy('a', 'init', '--no-start', '--network', '10.79.0.0/16');
    const [etcd = ''] = indented(await init());
    const closed = paste('a', etcd);

    let printed: string[] = [];
    await until(
      'etcd is found',
      async () => {
        printed = indented(await init());
        return printed.length > 1;
      },
      20_000,
    );
    const [restart = '', daemon = '', joinLine = ''] = printed;
    expect(joinLine).toMatch(/^corduroy join cdy1\.\S+$/);
    closed.kill('SIGTERM');
    await until('etcd has ended', async () => closed.exitCode !== null || closed.signalCode !== null, 10_000);
    paste('a', restart);
    paste('a', daemon);
    daemons.push('a');

    writeFileSync(join(folder, 'token'), joinLine.split(' ').at(-1) ?? '', { mode: 0o600 });
    let joined = '';
    await until(
      'the second host has joined',
      async () => {
        joined = await corduroy('b', 'join', '--no-start', '--token-file', join(folder, 'token')).catch(
          () => '',
        );
        return joined !== '';
      },
      20_000,
    );
    paste('b', /start the daemon: (.*)/.exec(joined)?.[1] ?? '');
    daemons.push('b');
    for (const name of ['a', 'b']) {
      const complete = async () => {
        const now = await status(name);
        return now?.ready === true && now.peers.length === 1;
      };
      await until(`${name} knows the other`, complete, 30_000);
    }

    const subnet = (await status('b'))?.lease?.subnets[0] ?? '';
    expect(subnet).toMatch(/^10\.79\./);
    await until('the bridge of the other answers', () => pings(subnet.replace(/0\/24$/, '1')), 10_000);
    // The network config is the administrator's, and the hosts' user may not change it.
    const admin = join(folder, 'a', 'admin.json');
    const set = ['config', 'set', '{"Network": "10.79.0.0/16", "SubnetLen": 24}'];
    await expect(corduroy('a', ...set)).rejects.toThrow(/refuses/);
    const [program, words] = on('a').command('corduroy', [...set, `--config-file=${admin}`]);
    await execute(program, words, { env: environment });
    expect(JSON.parse(readFileSync(admin, 'utf8'))).toMatchObject({ 'etcd-username': 'root' });
  });

  const pings = async (address: string) =>
    on('a')
      .run('ping', '-c', '1', '-W', '1', address)
      .then(
        () => true,
        () => false,
      );
});
