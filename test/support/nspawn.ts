import { type ChildProcess, execFile, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { FAST_FOLDER } from './fast-folder.ts';
import { until } from './lab.ts';
import { isAlive, NetNamespace, waitForEnd } from './netns.ts';
import { makeCgroups, removeCgroups } from './nspawn-cgroups.ts';
import type { Lan } from './nspawn-lan.ts';

const execute = promisify(execFile);

/** Why no whole host can run on this machine, or `undefined`. For tests of the project `system`. */
export function hostObstacle(): string | undefined {
  const image = inject('hostImage');
  return 'obstacle' in image ? image.obstacle : undefined;
}

/** The root file system that hosts boot from. It is shared by all tests: to be read, never written. */
export function hostImageFolder(): string {
  const image = inject('hostImage');
  if ('obstacle' in image) throw new Error(image.obstacle);
  return image.folder;
}

/** SIGRTMIN+4 asks systemd to power off (systemd(1)); glibc's SIGRTMIN is 34, and Node knows no name for it. */
const POWER_OFF = 38;

/** What a login shell would have. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  TERM: 'dumb',
};

/**
 * Starts a host: its root is the image with a layer of its own, seen by it alone. What SIGTERM is to nspawn, when this
 * process ends without a word: it shuts the host down.
 */
const START = `
  image=$1 layers=$2 groups=$3; shift 3
  for group in $groups; do echo $$ >"$group/cgroup.procs"; done
  mount -t overlay -o "lowerdir=$image,upperdir=$layers/upper,workdir=$layers/work" overlay "$layers/root"
  exec setpriv --pdeathsig TERM systemd-nspawn --directory="$layers/root" \
    --bind="$layers/docker:/var/lib/docker" --bind="$layers/containerd:/var/lib/containerd" "$@"`;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let count = 0;
const present = new Set<NspawnHost>();
process.on('exit', () => {
  for (const host of present) host.removeNow();
});

/**
 * A host with systemd as process 1, a disk of its own, which is in memory and outlives `powerOff`, and an eth0 in a
 * network of the test. All of Debian's tools are there, dockerd and etcd among them, but none runs before it is started.
 * `remove` ends it and leaves nothing of it.
 */
export class NspawnHost {
  /** Its host name. */
  readonly name: string;
  readonly address: string;
  readonly #lan: Lan;
  /** Its disk, above the image. */
  readonly #layers: string;
  readonly #unique = `cdyt-${process.pid}-${++count}`;
  #running:
    | {
        readonly nspawn: ChildProcess;
        readonly namespace: NetNamespace;
        readonly cgroups: readonly string[];
        /** Of its process 1, as this machine sees it. */
        init?: number;
      }
    | undefined;
  #console = '';

  private constructor(name: string, lan: Lan, address: string, layers: string) {
    this.name = name;
    this.#lan = lan;
    this.address = address;
    this.#layers = layers;
  }

  /** A host that is on. */
  static async start(name: string, lan: Lan, address: string): Promise<NspawnHost> {
    const layers = await mkdtemp(join(FAST_FOLDER, 'cdyt-host-'));
    const host = new NspawnHost(name, lan, address, layers);
    present.add(host);
    for (const folder of ['upper/etc', 'work', 'root', 'docker', 'containerd'])
      await mkdir(join(layers, folder), { recursive: true });
    await writeFile(join(layers, 'upper/etc/machine-id'), `${randomBytes(16).toString('hex')}\n`);
    await writeFile(join(layers, 'upper/etc/hostname'), `${name}\n`);
    await writeFile(join(layers, 'upper/etc/hosts'), `127.0.0.1 localhost\n${address} ${name}\n`);
    try {
      await host.boot();
      return host;
    } catch (error) {
      const said = host.#console.slice(-4000);
      await host.remove();
      throw new Error(`the host ${name} does not boot: ${String(error)}\n${said}`);
    }
  }

  /** Switches it on. Resolves when its systemd takes requests; services may still be starting. */
  async boot(): Promise<void> {
    if (this.#running !== undefined) throw new Error(`the host ${this.name} is on`);
    const image = hostImageFolder();
    const namespace = await NetNamespace.create();
    await this.#lan.plug(namespace, this.address);
    const cgroups = makeCgroups(this.#unique);
    const nspawn = spawn(
      'unshare',
      [
        ...['--mount', '--propagation', 'private', '--', 'sh', '-ec', START, 'sh'],
        ...[image, this.#layers, cgroups.join(' ')],
        ...['--boot', '--quiet', '--register=no', '--keep-unit', '--link-journal=no', '--console=pipe'],
        ...['--resolv-conf=off', '--timezone=off', `--machine=${this.#unique}`, `--hostname=${this.name}`],
        ...[`--network-namespace-path=${namespace.path}`],
        // What dockerd needs on top of what a host has.
        ...['--capability=all', '--system-call-filter=@keyring bpf'],
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...ENVIRONMENT, SYSTEMD_NSPAWN_API_VFS_WRITABLE: 'network' },
      },
    );
    for (const stream of [nspawn.stdout, nspawn.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#console = (this.#console + text).slice(-100_000);
      });
    this.#running = { nspawn, namespace, cgroups };
    const running = this.#running;
    await until(
      `the host ${this.name} has a process 1`,
      async () => {
        if (nspawn.exitCode !== null) throw new Error(`systemd-nspawn has ended (${nspawn.exitCode})`);
        const init = await initOf(nspawn.pid ?? 0);
        if (init !== undefined) running.init = init;
        return init !== undefined;
      },
      20_000,
    );
    await until(
      `the systemd of ${this.name} answers`,
      async () => (await this.attempt('systemctl', 'is-active', 'sysinit.target')).code === 0,
      30_000,
    );
  }

  /** Resolves when every service has started that is to start with the host. @returns `running`, or `degraded` */
  async settled(): Promise<string> {
    return (await this.attempt('systemctl', 'is-system-running', '--wait')).stdout.trim();
  }

  /** Switches it off in order. Its disk stays, its network card goes with all that was configured on it. */
  async powerOff(): Promise<void> {
    this.#signal(POWER_OFF);
    await this.#ended(100_000);
  }

  /** Pulls its plug. */
  async cutPower(): Promise<void> {
    this.#signal('SIGKILL');
    await this.#ended(20_000);
  }

  /** Of its process 1, as this machine sees it. */
  get init(): number {
    const init = this.#running?.init;
    if (init === undefined) throw new Error(`the host ${this.name} is off`);
    return init;
  }

  /** Its network; another one after it was off. */
  get namespace(): NetNamespace {
    if (this.#running === undefined) throw new Error(`the host ${this.name} is off`);
    return this.#running.namespace;
  }

  /** The command line that runs a command on it. */
  command(program: string, args: readonly string[]): [string, string[]] {
    return ['nsenter', ['--target', String(this.init), '--all', '--root', '--wd', '--', program, ...args]];
  }

  /** Runs a command. @returns its standard output, trimmed @throws with its standard error when it fails */
  async run(program: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(program, ...args);
    if (code === 0) return stdout.trim();
    throw new Error(
      `${this.name}: ${[program, ...args].join(' ')}: exit code ${code}\n${stderr.trim() || stdout.trim()}`,
    );
  }

  /** Like `run`, for a shell's script, which ends at the first command that fails. */
  async sh(script: string): Promise<string> {
    return await this.run('sh', '-ec', script);
  }

  /** Like `run`, for commands that may fail. The time limit is two minutes. */
  async attempt(program: string, ...args: string[]): Promise<Outcome> {
    return await new Promise((done) => {
      const [command, words] = this.command(program, args);
      const options = { env: ENVIRONMENT, maxBuffer: 2 ** 26, timeout: 120_000, cwd: '/' };
      execFile(command, words, options, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
      });
    });
  }

  /** Starts a command that goes on; it ends with the host at the latest. */
  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const [command, words] = this.command(program, args);
    return spawn(command, words, { env: ENVIRONMENT, cwd: '/', ...options });
  }

  /** Where this machine finds a file of the host, while it is on. */
  path(file: string): string {
    return `/proc/${this.init}/root${file}`;
  }

  /** Copies a file of this machine onto it. @returns where it is there */
  async copyIn(file: string, folder = '/root'): Promise<string> {
    const place = join(folder, basename(file));
    await copyFile(file, this.path(place));
    return place;
  }

  async write(file: string, text: string, mode = 0o644): Promise<void> {
    await this.run('mkdir', '-p', join(file, '..'));
    await writeFile(this.path(file), text, { mode });
  }

  read(file: string): string {
    return readFileSync(this.path(file), 'utf8');
  }

  /** What it logged since it was switched on, of some units or of all, and what does not run as it should. */
  async journal(...units: string[]): Promise<string> {
    if (this.#running?.init === undefined)
      return `the host ${this.name} is off\n${this.#console.slice(-4000)}`;
    const words = ['-b', '--no-pager', '-o', 'short-precise', '-n', '400'];
    const { stdout } = await this.attempt('journalctl', ...words, ...units.flatMap((unit) => ['-u', unit]));
    const failed = await this.attempt('systemctl', '--failed', '--no-legend', '--plain');
    const lines = stdout
      .split('\n')
      .filter((line) => !/dockerd.*\[core\]|: Deactivated successfully/.test(line));
    return `--- ${this.name}: failed units: ${failed.stdout.trim() || 'none'}\n${lines.join('\n')}`;
  }

  /** Ends it, however it is, and removes its disk. */
  async remove(): Promise<void> {
    if (this.#running !== undefined) {
      this.#signal('SIGKILL');
      await this.#ended(20_000);
    }
    await rm(this.#layers, { recursive: true, force: true });
    present.delete(this);
  }

  /** The same when nothing can be awaited any more. */
  removeNow(): void {
    if (this.#running !== undefined) {
      const { nspawn, cgroups } = this.#running;
      this.#signal('SIGKILL');
      for (
        const end = Date.now() + 5000;
        Date.now() < end && nspawn.pid !== undefined && isAlive(nspawn.pid);
      )
        spawnSync('sleep', ['0.02']);
      removeCgroups(cgroups);
    }
    rmSync(this.#layers, { recursive: true, force: true });
  }

  /** To its process 1: the kernel ends all others of the host along with it. nspawn then ends by itself. */
  #signal(signal: NodeJS.Signals | number): void {
    const { init, nspawn } = this.#running ?? {};
    try {
      if (init !== undefined) process.kill(init, signal);
      else nspawn?.kill('SIGTERM'); // Still starting; SIGKILL would leave the host without a keeper.
    } catch {
      // It has ended already.
    }
  }

  async #ended(timeout: number): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    await waitForEnd(running.nspawn.pid ?? 0, timeout);
    this.#running = undefined;
    await running.namespace.remove();
    await until(`the cgroups of ${this.name} are empty`, () => removeCgroups(running.cgroups));
  }
}

/** Its child that is process 1 of a namespace of its own. @returns its id here; `undefined`: not yet */
async function initOf(nspawn: number): Promise<number | undefined> {
  const { stdout } = await execute('pgrep', ['-P', String(nspawn)]).catch(() => ({ stdout: '' }));
  for (const child of stdout.split('\n').filter((line) => line !== '')) {
    try {
      if (/^NSpid:\t\d+\t1$/m.test(readFileSync(`/proc/${child}/status`, 'utf8'))) return Number(child);
    } catch {
      // It was a helper of nspawn's, and has ended.
    }
  }
  await sleep(20);
  return undefined;
}
