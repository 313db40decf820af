import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll } from 'vitest';
import { isRunning } from '../../src/host/is-running.ts';
import { startInNamespace } from '../../src/lab/processes.ts';
import { labObstacle, until } from './lab.ts';

const execute = promisify(execFile);
/** Debian's, from docker.io: another docker may come before it in the PATH. */
const DOCKER = '/usr/bin/docker';
const DOCKERD = '/usr/sbin/dockerd';
const BUSYBOX = '/bin/busybox';
const IMAGE = 'busybox:test';

/** Why there can be no dockerd in a namespace of this machine, or `undefined`. */
export function dockerObstacle(): string | undefined {
  const missing = [DOCKER, DOCKERD, BUSYBOX].filter((path) => !existsSync(path));
  return (
    labObstacle() ??
    (missing.length === 0
      ? undefined
      : `needs ${missing.join(', ')} (docker.io, busybox-static: make test-packages)`)
  );
}

const present = new Set<TestDockerd>();
/** Of each test file that imports this: a worker may be ended without an event for it. */
afterAll(() => {
  for (const one of present) one.removeNow();
});

/** A real dockerd in a network namespace, with a folder, a socket and a control group of its own, and one image. */
export class TestDockerd {
  readonly namespace: string;
  readonly folder = mkdtempSync(join(tmpdir(), 'cdyt-docker-'));
  readonly socket = join(this.folder, 'docker.sock');
  readonly configFile = join(this.folder, 'daemon.json');
  readonly #group = `cdyt-docker-${process.pid}-${present.size}`;

  constructor(namespace: string) {
    this.namespace = namespace;
    present.add(this);
  }

  /** Resolves when it answers. Its configuration file is its own, and empty unless a test writes it. */
  async start(...flags: string[]): Promise<void> {
    if (!existsSync(this.configFile)) writeFileSync(this.configFile, '{}\n');
    const folders = ['--data-root', join(this.folder, 'root'), '--exec-root', join(this.folder, 'exec')];
    const files = [
      '--config-file',
      this.configFile,
      '--pidfile',
      this.#pidFile,
      '-H',
      `unix://${this.socket}`,
    ];
    const rest = ['--cgroup-parent', `/${this.#group}`, '--storage-driver', 'vfs', ...flags];
    startInNamespace(this.namespace, [DOCKERD, ...folders, ...files, ...rest], this.#logFile, process.env);
    await until(`dockerd answers in ${this.namespace}`, () => this.answers(), 20_000).catch(
      (error: unknown) => {
        throw new Error(`${error}:\n${readFileSync(this.#logFile, 'utf8').slice(-2000)}`);
      },
    );
  }

  get #pidFile(): string {
    return join(this.folder, 'docker.pid');
  }

  get #logFile(): string {
    return join(this.folder, 'dockerd.log');
  }

  get #pid(): number | undefined {
    return existsSync(this.#pidFile) ? Number(readFileSync(this.#pidFile, 'utf8')) : undefined;
  }

  async answers(): Promise<boolean> {
    return await this.docker('version').then(
      () => true,
      () => false,
    );
  }

  /** Containers end with it. */
  async stop(): Promise<void> {
    const pid = this.#pid;
    if (pid === undefined) return;
    process.kill(pid, 'SIGTERM');
    await until('dockerd has ended', () => !isRunning(pid), 20_000);
  }

  /** @returns what the client prints, trimmed */
  async docker(...args: string[]): Promise<string> {
    const { stdout } = await execute(DOCKER, ['-H', `unix://${this.socket}`, ...args]);
    return stdout.trim();
  }

  /** Starts a container that does nothing. */
  async container(name: string, ...flags: string[]): Promise<TestContainer> {
    if ((await this.docker('images', '-q', IMAGE)) === '') await this.#makeImage();
    await this.docker('run', '-d', '--init', '--name', name, ...flags, IMAGE, 'sleep', '3600');
    return await this.running(name);
  }

  async running(name: string): Promise<TestContainer> {
    const addresses = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}';
    const said = await this.docker('inspect', '-f', `{{.State.Pid}} ${addresses}`, name);
    const [pid = '', address = '', ipv6 = ''] = said.split(' ');
    return new TestContainer(Number(pid), address, ipv6);
  }

  async #makeImage(): Promise<void> {
    const root = join(this.folder, 'image');
    mkdirSync(join(root, 'bin'), { recursive: true });
    copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
    chmodSync(join(root, 'bin/busybox'), 0o755);
    symlinkSync('busybox', join(root, 'bin/sleep'));
    const archive = join(this.folder, 'image.tar');
    await execute('tar', ['-C', root, '-cf', archive, '.']);
    await this.docker('import', archive, IMAGE);
  }

  async remove(): Promise<void> {
    if (await this.answers()) {
      const all = (await this.docker('ps', '-aq')).split('\n').filter(Boolean);
      if (all.length > 0) await this.docker('rm', '-f', ...all);
    }
    await this.stop();
    this.removeNow();
  }

  /** The same without care for containers, when the test process ends early. */
  removeNow(): void {
    present.delete(this);
    const pid = this.#pid;
    if (pid !== undefined && isRunning(pid)) {
      process.kill(pid, 'SIGTERM');
      for (let waited = 0; isRunning(pid) && waited < 100; waited++) spawnSync('sleep', ['0.1']);
    }
    for (const mount of readFileSync('/proc/mounts', 'utf8').split('\n').reverse()) {
      const [, point = ''] = mount.split(' ');
      if (point.startsWith(this.folder)) spawnSync('umount', ['--lazy', point]);
    }
    rmSync(this.folder, { recursive: true, force: true });
    const groups = spawnSync('find', [
      '/sys/fs/cgroup',
      '-depth',
      '-type',
      'd',
      '-path',
      `*/${this.#group}*`,
    ]);
    for (const group of groups.stdout.toString().split('\n').filter(Boolean)) tryRemove(group);
    for (const folder of ['/run/docker/plugins', '/run/docker/netns', '/run/docker']) tryRemove(folder);
  }
}

/** Only when it is empty. */
function tryRemove(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It is in use, or gone.
  }
}

export class TestContainer {
  readonly address: string;
  /** Empty where it has none. */
  readonly ipv6: string;
  readonly #pid: number;

  constructor(pid: number, address: string, ipv6 = '') {
    this.#pid = pid;
    this.address = address;
    this.ipv6 = ipv6;
  }

  /** The same, known by its IPv6 address. */
  overIpv6(): TestContainer {
    return new TestContainer(this.#pid, this.ipv6);
  }

  /** In the container's network, with this machine's programs. */
  async run(program: string, ...args: string[]): Promise<string> {
    const { stdout } = await execute('nsenter', [`--net=/proc/${this.#pid}/ns/net`, '--', program, ...args]);
    return stdout.trim();
  }

  /** Whether it reaches another with packets of exactly this size, unfragmented. */
  async pings({ address }: Pick<TestContainer, 'address'>, mtu: number): Promise<boolean> {
    const size = String(mtu - (address.includes(':') ? 48 : 28));
    return await this.run('ping', '-n', '-c', '1', '-W', '1', '-M', 'do', '-s', size, address).then(
      () => true,
      () => false,
    );
  }

  /** The address that another one sees when this one connects to it. */
  async addressSeenBy(other: TestContainer): Promise<string> {
    const serve =
      'require("net").createServer((s) => { console.log(s.remoteAddress.replace("::ffff:", "")); s.end(() => process.exit()); }).listen(7000, "::")';
    const seen = other.run(process.execPath, '-e', serve);
    const connect =
      'const go = () => require("net").connect(7000, process.argv[1]).on("error", () => setTimeout(go, 50)).on("end", () => process.exit()); go()';
    await this.run('timeout', '10', process.execPath, '-e', connect, other.address);
    return await seen;
  }
}
