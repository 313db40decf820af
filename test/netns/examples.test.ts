import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pingMatrix } from '../../src/lab/ping-matrix.ts';
import { startInNamespace } from '../../src/lab/processes.ts';
import { type LabHost, underlay } from '../../src/lab/topology.ts';
import { FAST_FOLDER } from '../support/fast-folder.ts';
import { labObstacle, TestLab, until } from '../support/lab.ts';

const execute = promisify(execFile);

describe.skipIf(labObstacle())(`examples/netns ${labObstacle() ?? ''}`, () => {
  const LAB = `cdyx${process.pid}`;
  const script = resolve('examples/netns/netns.sh');
  /** Its own process group, as under a terminal: Ctrl-C reaches all of it. */
  const start = (...command: string[]) =>
    spawn(script, command, {
      env: { ...process.env, LAB },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  const leftovers = async () => {
    const { stdout } = await execute('ip', ['netns', 'list']);
    const processes = spawnSync('pgrep', ['-af', `/run/${LAB}-lab`], { encoding: 'utf8' }).stdout;
    const folder = existsSync(`/run/${LAB}-lab`) ? [`/run/${LAB}-lab`] : [];
    return [...stdout.split('\n').filter((line) => line.startsWith(LAB)), ...processes.split('\n'), ...folder]
      .join('\n')
      .trim();
  };

  afterAll(() => {
    spawnSync('sh', [
      '-c',
      `for each in $(ip netns list | awk '/^${LAB}-/ { print $1 }'); do
         ip netns pids $each | xargs -r kill -KILL
         ip netns delete $each
       done
       rm -rf /run/${LAB}-lab`,
    ]);
  });

  it('makes three hosts whose containers ping each other, says how, and leaves nothing behind', async () => {
    const child = start('sh', '-c', 'echo "inside: $(ip netns list | grep -c "^$LAB-")"');
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      output += text;
    });
    const [code] = await once(child, 'close');
    expect(code, output).toBe(0);
    expect(output.match(/1 packets transmitted, 1 received/g)).toHaveLength(6);
    expect(output).toContain('inside: 7');
    expect(output).toContain(`$ ip netns exec ${LAB}-h2 corduroyd --config-file=`);
    expect(await leftovers()).toBe('');
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const child = start('sleep', '60');
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      output += text;
    });
    const isUp = () => output.includes('== sleep 60');
    await until('the lab is up, or failed', () => isUp() || child.exitCode !== null, 60_000);
    expect(isUp(), output).toBe(true);
    process.kill(-(child.pid ?? Number.NaN), 'SIGINT');
    const [code] = await once(child, 'close');
    expect(code).toBe(130);
    expect(await leftovers()).toBe('');
  });
});

/** In place of a container: the command of the compose file, with Debian's etcd, and files where that mounts them from. */
describe.skipIf(labObstacle())(`examples/etcd-compose ${labObstacle() ?? ''}`, () => {
  const scratch = mkdtempSync(join(FAST_FOLDER, 'corduroy-compose-'));
  const example = join(scratch, 'etcd-compose');
  const address = '192.0.2.254';
  const certificates = (...words: string[]) => execute(join(example, 'certificates.sh'), words);
  let lab: TestLab;
  let hosts: LabHost[];
  /** Of the file as it is: what stands under `key:`, one list item a line. */
  let composed: (key: string) => string[];

  beforeAll(async () => {
    // Not what somebody has made there for a network of theirs.
    const filter = (path: string) => !/\/(pki|\.env)$/.test(path);
    cpSync('examples/etcd-compose', example, { recursive: true, filter });
    await certificates(address, 'host1');
    const compose = readFileSync(join(example, 'docker-compose.yml'), 'utf8');
    const mounts = [...compose.matchAll(/- (?<from>\.\/[^:]+):(?<to>[^:]+):ro$/gm)];
    composed = (key) => {
      const block = new RegExp(`^( +)${key}:\\n((?:\\1 +.*\\n)+)`, 'm').exec(compose)?.[2] ?? '';
      return [...block.matchAll(/^ +- (.*)$/gm)].map(([, item = '']) =>
        mounts
          .reduce(
            (text, { groups }) => text.replace(groups?.to ?? '', join(example, groups?.from ?? '')),
            item,
          )
          .replace(/\$\{ETCD_ADDRESS[^}]*\}/, address)
          .replace('/var/lib/etcd', join(scratch, 'data')),
      );
    };
    // The settings of a host, as the README gives them.
    const settings = /^\{[\s\S]*?^\}/m.exec(readFileSync(join(example, 'README.md'), 'utf8'))?.[0] ?? '';
    const file = join(scratch, 'corduroyd.json');
    writeFileSync(
      file,
      settings.replace('10.0.0.1', address).replaceAll('/etc/corduroy/pki', join(example, 'pki')),
    );
    const access = { CORDUROYD_CONFIG_FILE: file, CORDUROYD_ETCD_ENDPOINTS: `https://${address}:2379` };
    lab = await TestLab.start({}, async (spec) => {
      const log = join(scratch, 'etcd.log');
      startInNamespace(underlay(spec.name).namespace, composed('command'), log, process.env);
      return { access, adminAccess: {} };
    });
    hosts = await lab.addHosts(2);
  });
  afterAll(async () => {
    await lab?.remove();
    rmSync(scratch, { recursive: true, force: true });
  });

  it('serves hosts that have a certificate', async () => {
    await until('they know each other', async () => {
      const documents = await Promise.all(hosts.map((host) => lab.status(host)));
      return documents.every(({ peers }) => peers.length === 1);
    });
    const pings = await pingMatrix(lab.lab);
    expect(pings.filter(({ roundTrip }) => roundTrip !== undefined)).toHaveLength(2);
  });

  it('admits nobody without one', async () => {
    const { namespace } = underlay(lab.lab.spec.name);
    const ca = ['--cacert', join(example, 'pki/ca.pem'), '--endpoints', `https://${address}:2379`];
    const get = [...ca, '--command-timeout', '2s', 'get', '--prefix', '/'];
    expect((await lab.attempt(namespace, 'etcdctl', ...get)).code).not.toBe(0);
    const key = ['--cert', join(example, 'pki/host1.pem'), '--key', join(example, 'pki/host1.key')];
    expect((await lab.attempt(namespace, 'etcdctl', ...key, ...get)).code).toBe(0);
  });

  it('has a health check that succeeds', async () => {
    const [kind, program = '', ...words] = composed('test');
    expect(kind).toBe('CMD');
    const { namespace } = underlay(lab.lab.spec.name);
    const { code, stdout, stderr } = await lab.attempt(namespace, program, ...words);
    expect(code, stdout + stderr).toBe(0);
  });

  it('makes certificates for further hosts, and leaves those that are there', async () => {
    const before = readFileSync(join(example, 'pki/host1.pem'), 'utf8');
    await certificates(address, 'host1', 'host2');
    expect(readFileSync(join(example, 'pki/host1.pem'), 'utf8')).toBe(before);
    const verified = await execute('openssl', [
      ...['verify', '-purpose', 'sslclient', '-CAfile', join(example, 'pki/ca.pem')],
      join(example, 'pki/host2.pem'),
    ]);
    expect(verified.stdout).toContain('OK');
    await expect(certificates('192.0.2.1')).rejects.toThrow(/for another address/);
    await expect(certificates(address, 'root')).rejects.toThrow(/administrator/);
  });

  it('is a file that docker compose takes', async ({ skip }) => {
    const command = [['docker', 'compose'], ['docker-compose']].find(
      ([program = '', ...words]) => spawnSync(program, [...words, 'version']).status === 0,
    );
    if (command === undefined) return skip('needs docker compose');
    const [program = '', ...words] = command;
    const { stdout } = await execute(program, [...words, 'config'], { cwd: example });
    expect(stdout).toContain(`--advertise-client-urls=https://${address}:2379`);
  });
});
