import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { FAST_FOLDER } from './fast-folder.ts';

const ETCD = '/usr/bin/etcd';
const ETCDCTL = '/usr/bin/etcdctl';
/** Lets the kernel kill etcd when the test process dies, however it dies. */
const SETPRIV = '/usr/bin/setpriv';

export interface EtcdTestOptions {
  /** Enables authentication, with this user as root. */
  readonly auth?: { readonly username: string; readonly password: string };
  /** Paths of PEM files: serves TLS, and asks clients for a certificate by the same CA. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** Why etcd cannot be started here; undefined when it can. */
export function etcdMissing(): string | undefined {
  return [ETCD, ETCDCTL].every((path) => existsSync(path)) ? undefined : `needs ${ETCD} and ${ETCDCTL}`;
}

/** For describe.skipIf(!hasEtcd()); etcdMissing() has the reason. */
export function hasEtcd(): boolean {
  return etcdMissing() === undefined;
}

/** Starts an etcd and resolves when it answers. Close it in afterEach/afterAll; it cannot outlive this process. */
export async function startEtcd(options: EtcdTestOptions = {}): Promise<TestEtcd> {
  const ports = await freePorts(3);
  const etcd = new TestEtcd(options, ports, mkdtempSync(join(FAST_FOLDER, `corduroy-etcd-${process.pid}-`)));
  running.add(etcd);
  try {
    await etcd.restart();
    if (options.auth) await etcd.enableAuth();
    return etcd;
  } catch (error) {
    await etcd.stop();
    throw error;
  }
}

/** A real etcd of one member on loopback, with its data in memory, that can be killed, hung and brought back. */
export class TestEtcd {
  readonly endpoint: string;
  readonly dataFolder: string;
  readonly #options: EtcdTestOptions;
  readonly #peer: string;
  readonly #metrics: string;
  #authEnabled = false;
  #process: ChildProcess | undefined;

  constructor(options: EtcdTestOptions, ports: readonly number[], dataFolder: string) {
    const [client, peer, metrics] = ports;
    this.#options = options;
    this.dataFolder = dataFolder;
    this.endpoint = `${options.tls ? 'https' : 'http'}://127.0.0.1:${client}`;
    this.#peer = `http://127.0.0.1:${peer}`;
    this.#metrics = `http://127.0.0.1:${metrics}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Starts it on the data and ports it had. Resolves when it answers. */
  async restart(): Promise<void> {
    await this.spawn();
    await this.healthy();
  }

  /** Starts it without waiting for it to answer. */
  async spawn(): Promise<void> {
    await this.kill();
    const command = [ETCD, ...this.#arguments()];
    if (existsSync(SETPRIV)) command.unshift(SETPRIV, '--pdeathsig', 'KILL');
    const [file = ETCD, ...args] = command;
    this.#process = spawn(file, args, { stdio: 'ignore' });
    this.#process.on('error', () => undefined);
  }

  /** Resolves when it answers, at most 15 s later. */
  async healthy(): Promise<void> {
    const giveUp = Date.now() + 15_000;
    while (Date.now() < giveUp) {
      if (this.#process?.exitCode !== null || this.#process.signalCode !== null) break;
      if (await this.#answers()) return;
      await sleep(10);
    }
    throw new Error(`etcd on ${this.endpoint} does not answer; its log ends with:\n${this.#logTail()}`);
  }

  /** SIGKILL, as a crash. Resolves when it is gone; the data stays. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Kills it and removes its data. */
  async stop(): Promise<void> {
    await this.kill();
    this.#removeData();
  }

  /** SIGSTOP: it hangs, with all connections open. Resolves when each of its threads has stopped. */
  async pause(): Promise<void> {
    if (this.pid === undefined) return;
    this.#process?.kill('SIGSTOP');
    const tasks = `/proc/${this.pid}/task`;
    // proc(5), stat: the state follows the name, which stands in brackets.
    const stopped = (task: string) => /\) [Tt] /.test(readFileSync(join(tasks, task, 'stat'), 'utf8'));
    while (!readdirSync(tasks).every(stopped)) await sleep(5);
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Runs etcdctl on it (as the root user, with the TLS files, if there are any), and resolves to what it printed. */
  async etcdctl(...args: string[]): Promise<string> {
    const { auth, tls } = this.#options;
    const common = [`--endpoints=${this.endpoint}`, '--command-timeout=5s'];
    if (auth && this.#authEnabled) common.push(`--user=${auth.username}:${auth.password}`);
    if (tls) common.push(`--cacert=${tls.ca}`, `--cert=${tls.cert}`, `--key=${tls.key}`);
    const env = { PATH: process.env.PATH ?? '', ETCDCTL_API: '3' };
    const { stdout } = await promisify(execFile)(ETCDCTL, [...common, ...args], { env, maxBuffer: 64 << 20 });
    return stdout;
  }

  async enableAuth(): Promise<void> {
    const { auth } = this.#options;
    if (!auth) return;
    await this.etcdctl('user', 'add', `${auth.username}:${auth.password}`);
    await this.etcdctl('role', 'add', 'root');
    await this.etcdctl('user', 'grant-role', auth.username, 'root');
    // etcd enables authentication only when a user called "root" has the role "root".
    if (auth.username !== 'root') {
      await this.etcdctl('user', 'add', `root:${auth.password}`);
      await this.etcdctl('user', 'grant-role', 'root', 'root');
    }
    await this.etcdctl('auth', 'enable');
    this.#authEnabled = true;
  }

  /** For the end of the process, when nothing can be awaited any more. */
  killNow(): void {
    this.#process?.kill('SIGKILL');
    this.#removeData();
  }

  #removeData(): void {
    running.delete(this);
    rmSync(this.dataFolder, { recursive: true, force: true });
  }

  #arguments(): string[] {
    const { tls } = this.#options;
    return [
      '--name=test',
      `--data-dir=${join(this.dataFolder, 'data')}`,
      `--listen-client-urls=${this.endpoint}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-peer-urls=${this.#peer}`,
      `--initial-advertise-peer-urls=${this.#peer}`,
      `--initial-cluster=test=${this.#peer}`,
      // Serves /health in the clear, with TLS and authentication too.
      `--listen-metrics-urls=${this.#metrics}`,
      // A single member elects itself after one election timeout; the least TTL of a lease follows from it as well.
      '--heartbeat-interval=10',
      '--election-timeout=100',
      '--logger=zap',
      '--log-level=warn',
      `--log-outputs=${join(this.dataFolder, 'log')}`,
      ...(tls
        ? [
            `--cert-file=${tls.cert}`,
            `--key-file=${tls.key}`,
            `--trusted-ca-file=${tls.ca}`,
            '--client-cert-auth',
          ]
        : []),
    ];
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.#metrics}/health`, { signal: AbortSignal.timeout(1000) });
      return (await response.text()).includes('"true"');
    } catch {
      return false; // Not listening yet.
    }
  }

  #logTail(): string {
    const log = join(this.dataFolder, 'log');
    return existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(-10).join('\n') : '(none)';
  }
}

const running = new Set<TestEtcd>();
process.on('exit', () => {
  for (const etcd of [...running]) etcd.killNow();
});

/** Ports that were free a moment ago; held all at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
