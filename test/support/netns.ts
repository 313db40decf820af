import { type ChildProcess, execFile, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);
/** Begins the name of every namespace of a test, so that people know whose it is. */
const PREFIX = 'cdyt';

export type Probe = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Whether this machine lets a test make network namespaces and TUN devices. Skip with the reason if not. */
export function canUseNamespaces(): Probe {
  if (process.getuid?.() !== 0) return { ok: false, reason: 'needs root, for network namespaces' };
  if (!existsSync('/dev/net/tun')) return { ok: false, reason: 'needs /dev/net/tun (modprobe tun)' };
  for (const program of ['ip', 'nsenter']) {
    if (spawnSync(program, ['--version']).error !== undefined)
      return { ok: false, reason: `needs ${program}` };
  }
  const trial = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  if (trial.status !== 0)
    return { ok: false, reason: `cannot make a network namespace: ${trial.stderr.trim()}` };
  return { ok: true };
}

/** Whether the kernel forwards IPv6 for single interfaces, as since Linux 6.17. */
export function hasForceForwarding(): boolean {
  return existsSync('/proc/sys/net/ipv6/conf/lo/force_forwarding');
}

let count = 0;
const present = new Set<NetNamespace>();
process.on('exit', () => {
  for (const namespace of present) namespace.removeNow();
});

/**
 * A network namespace of a test's own, with its loopback up, and the processes started in it. `remove` ends these
 * (by pid) and removes it, and with it every device in it.
 */
export class NetNamespace {
  readonly name: string;
  readonly path: string;
  readonly #children = new Set<ChildProcess>();
  readonly #pids = new Set<number>();

  private constructor(name: string) {
    this.name = name;
    this.path = `/run/netns/${name}`;
  }

  static async create(): Promise<NetNamespace> {
    const namespace = new NetNamespace(`${PREFIX}-${process.pid}-${++count}`);
    await execute('ip', ['netns', 'add', namespace.name]);
    present.add(namespace);
    await namespace.run('ip', 'link', 'set', 'lo', 'up');
    return namespace;
  }

  /** The command line that runs a command in here. nsenter, because `ip netns exec` remounts /sys. */
  command(program: string, args: readonly string[]): [string, string[]] {
    return ['nsenter', [`--net=${this.path}`, '--', program, ...args]];
  }

  /** Standard output of a command; rejects with its standard error when it fails. */
  async run(program: string, ...args: string[]): Promise<string> {
    const { stdout } = await execute(...this.command(program, args));
    return stdout;
  }

  /** Several `ip` or `sysctl` commands, one a line. */
  async script(lines: string): Promise<void> {
    for (const line of lines.split('\n').map((each) => each.trim())) {
      if (line === '') continue;
      const [program = '', ...args] = line.split(/\s+/);
      await this.run(program, ...args);
    }
  }

  /** Starts a process that `remove` ends. nsenter executes the command, so its pid is the command's. */
  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn(...this.command(program, args), options);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Has `remove` end a process that is not a child of this one. */
  adopt(pid: number): void {
    this.#pids.add(pid);
  }

  async remove(): Promise<void> {
    const pids = this.#killAll();
    await Promise.all(pids.map((pid) => waitForEnd(pid)));
    await execute('ip', ['netns', 'del', this.name]);
    present.delete(this);
  }

  /** The same without waiting, when the test process ends early. */
  removeNow(): void {
    this.#killAll();
    spawnSync('ip', ['netns', 'del', this.name]);
    present.delete(this);
  }

  #killAll(): number[] {
    const pids = [...this.#pids, ...[...this.#children].flatMap((child) => child.pid ?? [])];
    for (const pid of pids) signal(pid, 'SIGKILL');
    return pids;
  }
}

/** Whether the process is there (a zombie is not). */
export function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Rejects when the process is still there after the time. */
export async function waitForEnd(pid: number, timeoutMs = 5000): Promise<void> {
  for (const deadline = performance.now() + timeoutMs; isAlive(pid); await sleep(10)) {
    if (performance.now() > deadline) throw new Error(`process ${pid} is still there after ${timeoutMs} ms`);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended already.
  }
}
