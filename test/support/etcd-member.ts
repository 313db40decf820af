import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../src/host/exec.ts';
import { inNamespace } from '../../src/lab/processes.ts';
import { hostBatches, type LabSpec, memberNamespace, underlay } from '../../src/lab/topology.ts';
import type { EtcdCertificates } from './etcd-certificates.ts';

/** Lets the kernel kill etcd when the test process dies, however it dies. */
const SETPRIV = ['setpriv', '--pdeathsig', 'KILL', '--'];

/** As the detached grandchild (-D), so that the process that was started is etcd; without it, killing strace leaves etcd. */
const slowDisk = (milliseconds: number) => [
  ...['strace', '-D', '-qq', '-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=fdatasync'],
  ...['-e', `inject=fdatasync:delay_enter=${milliseconds * 1000}`],
];

/** Elections in a fraction of a second, and none for a member that was merely away. */
const FAST_ELECTIONS = ['--heartbeat-interval', '30', '--election-timeout', '200', '--pre-vote'];

export interface MemberOptions {
  readonly lab: LabSpec;
  /** From 1. */
  readonly index: number;
  /** In which it keeps its data and its log. */
  readonly folder: string;
  readonly certificates: EtcdCertificates;
}

/** One member of an etcd cluster, in a network namespace of its own on the underlay of a lab. */
export class EtcdMember {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  readonly #options: MemberOptions;
  #process: ChildProcess | undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.name = `e${options.index}`;
    this.namespace = memberNamespace(options.lab.name, options.index);
    this.address = memberAddress(options.index);
  }

  get clientUrl(): string {
    return `https://${this.address}:2379`;
  }

  get peerUrl(): string {
    return `https://${this.address}:2380`;
  }

  get dataFolder(): string {
    return join(this.#options.folder, this.name);
  }

  get logFile(): string {
    return join(this.#options.folder, `${this.name}.log`);
  }

  get isRunning(): boolean {
    const child = this.#process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  async join(): Promise<void> {
    await run('ip', ['netns', 'add', this.namespace]);
    for (const { namespace, lines } of hostBatches(this.#options.lab, {
      name: this.name,
      namespace: this.namespace,
      addresses: [this.address],
      link: 0,
    }))
      await run('ip', ['-netns', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  /**
   * Starts it on the data it has. It answers some time later.
   * @param initialCluster of a member that has no data yet
   * @param diskDelay of each fdatasync, milliseconds
   */
  start(initialCluster: string, diskDelay = 0): void {
    const etcd = ['etcd', ...this.#arguments(initialCluster)];
    const traced = diskDelay === 0 ? etcd : [...slowDisk(diskDelay), ...etcd];
    const [program = '', ...args] = inNamespace(this.namespace, [...SETPRIV, ...traced]);
    const log = openSync(this.logFile, 'a', 0o640);
    this.#process = spawn(program, args, { stdio: ['ignore', log, log], cwd: this.#options.folder });
    this.#process.on('error', () => undefined); // Whoever waits for it to answer finds out.
    closeSync(log);
  }

  /** SIGKILL, as a crash. Resolves when it is gone; its data stay. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP: it hangs, with all connections open. Resolves when each of its threads has stopped. */
  async stop(): Promise<void> {
    const pid = this.#process?.pid;
    if (pid === undefined || !this.isRunning) return;
    this.#process?.kill('SIGSTOP');
    const tasks = `/proc/${pid}/task`;
    // proc(5), stat: the state follows the name, which stands in brackets.
    const stopped = (task: string) => /\) [Tt] /.test(readFileSync(join(tasks, task, 'stat'), 'utf8'));
    while (!readdirSync(tasks).every(stopped)) await sleep(5);
  }

  cont(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Takes its link away, or gives it back: nobody is told, packets are just gone. */
  async setLink(state: 'up' | 'down'): Promise<void> {
    const net = underlay(this.#options.lab.name).namespace;
    await run('ip', ['-netns', net, 'link', 'set', 'dev', this.name, state]);
  }

  /** Whether it knows a leader and is in touch with the majority: it reads something as of now. */
  async isHealthy(): Promise<boolean> {
    if (!this.isRunning) return false;
    return await new Promise((resolve) => {
      const socketPath = join(this.#options.folder, this.#healthSocket);
      const asked = request({ socketPath, path: '/health', timeout: 2000 }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode === 200));
      });
      asked.on('timeout', () => asked.destroy());
      asked.on('error', () => resolve(false));
      asked.end();
    });
  }

  /** The last lines of its log, without those about clients that hung up and about who asked for its health. */
  logTail(lines = 10): string {
    if (!existsSync(this.logFile)) return '(none)';
    const all = readFileSync(this.logFile, 'utf8').trimEnd().split('\n');
    return all
      .filter((line) => !/\/health|rejected connection/.test(line))
      .slice(-lines)
      .join('\n');
  }

  /** In its working directory. A socket file is within reach from every network namespace, and whatever its link does. */
  get #healthSocket(): string {
    return `${this.name}.health:0`;
  }

  #arguments(initialCluster: string): string[] {
    const { ca, member } = this.#options.certificates;
    return [
      ...['--name', this.name, '--data-dir', this.dataFolder, '--logger', 'zap', '--log-level', 'warn'],
      ...['--listen-client-urls', `${this.clientUrl},https://127.0.0.1:2379`],
      ...['--advertise-client-urls', this.clientUrl, '--client-cert-auth', '--trusted-ca-file', ca],
      ...['--cert-file', member.cert, '--key-file', member.key],
      ...['--listen-metrics-urls', `unix://${this.#healthSocket}`],
      ...['--listen-peer-urls', this.peerUrl, '--initial-advertise-peer-urls', this.peerUrl],
      ...['--peer-client-cert-auth', '--peer-trusted-ca-file', ca],
      ...['--peer-cert-file', member.cert, '--peer-key-file', member.key],
      ...['--initial-cluster', initialCluster, ...FAST_ELECTIONS],
    ];
  }
}

/** Above all hosts of a lab, and below its bridge. */
export function memberAddress(index: number): string {
  return `192.0.2.${240 + index}`;
}
