import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VmImage } from './vm-image.ts';

/** Milliseconds: without hardware virtualization everything takes about ten times as long, on a busy machine more. */
const BOOT_TIMEOUT = 240_000;
const COMMAND_TIMEOUT = 240_000;
/** MiB. */
const MEMORY = 1024;

export interface VmResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface VmOptions {
  readonly image: VmImage;
  /** Disk that is /opt in the machine: vm-init.sh, vm-agent.mjs, and the programs under test in bin. */
  readonly payload: string;
  /** 1 or 2: the last number of its addresses, 192.0.2.N and 2001:db8::N. The first has to be started first. */
  readonly number: number;
  /** For sockets and logs; both machines have the same. */
  readonly folder: string;
}

/** As vm-agent.mjs takes them. */
type Request =
  | { readonly argv: readonly string[]; readonly input?: string; readonly log?: string }
  | { readonly get: { readonly socketPath: string; readonly path: string } };

/** A virtual machine with a network card that leads to the other one, and to nowhere else. It ends with this process. */
export class Vm {
  readonly name: string;
  readonly #qemu: ChildProcess;
  readonly #console: string;
  readonly #waiting = new Map<number, (result: VmResult) => void>();
  /** Rejects when it has ended by itself. */
  readonly #gone: Promise<never>;
  #agent: Socket | undefined;
  #lastId = 0;

  private constructor(name: string, qemu: ChildProcess, console: string) {
    this.name = name;
    this.#qemu = qemu;
    this.#console = console;
    this.#gone = once(qemu, 'exit').then(() => {
      throw new Error(this.#obituary('has ended'));
    });
    this.#gone.catch(() => undefined);
  }

  /** Resolves when it takes commands. */
  static async boot(options: VmOptions): Promise<Vm> {
    const name = `h${options.number}`;
    const console = join(options.folder, `${name}.console`);
    const socket = join(options.folder, `${name}.agent`);
    const log = openSync(console, 'w');
    const words = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArguments(options, socket)];
    const qemu = spawn('setpriv', words, { stdio: ['ignore', log, log] });
    closeSync(log);
    const vm = new Vm(name, qemu, console);
    try {
      await vm.#greet(socket);
      return vm;
    } catch (error) {
      await vm.end();
      throw error;
    }
  }

  /** Runs a command in it, whatever its exit code. */
  async attempt(argv: readonly string[], input = ''): Promise<VmResult> {
    return await this.#request({ argv, input });
  }

  /** @returns its standard output, trimmed. @throws when its exit code is not 0 */
  async run(...argv: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.attempt(argv);
    if (code !== 0)
      throw new Error(`${this.name}: ${argv.join(' ')}: exit code ${code}: ${stderr || stdout}`);
    return stdout.trim();
  }

  /** Asks who listens on a Unix socket there, by HTTP. @returns what comes back, or `undefined` where nobody answers */
  async get(socketPath: string, path: string): Promise<string | undefined> {
    const { code, stdout } = await this.#request({ get: { socketPath, path } });
    return code === 0 ? stdout : undefined;
  }

  /** Runs lines in a shell that ends at the first that fails. */
  async script(lines: string): Promise<string> {
    return await this.run('sh', '-ec', lines);
  }

  /** Starts what is to go on, its output in a file there. */
  async start(log: string, ...argv: string[]): Promise<void> {
    const { code, stderr } = await this.#request({ argv, log });
    if (code !== 0) throw new Error(`${this.name}: ${argv.join(' ')} cannot be started: ${stderr}`);
  }

  async end(): Promise<void> {
    this.#agent?.destroy();
    if (this.#qemu.exitCode !== null || this.#qemu.signalCode !== null) return;
    const ended = once(this.#qemu, 'exit');
    this.#qemu.kill('SIGKILL');
    await ended;
  }

  async #request(request: Request): Promise<VmResult> {
    const id = ++this.#lastId;
    const late = new AbortController();
    const answer = new Promise<VmResult>((resolve) => this.#waiting.set(id, resolve));
    this.#agent?.write(`${JSON.stringify({ id, ...request })}\n`);
    const timeout = sleep(COMMAND_TIMEOUT, undefined, { signal: late.signal }).then(() => {
      throw new Error(
        `${this.name}: ${JSON.stringify(request)} has not ended within ${COMMAND_TIMEOUT / 1000} s`,
      );
    });
    try {
      return await Promise.race([answer, timeout, this.#gone]);
    } finally {
      timeout.catch(() => undefined);
      late.abort();
      this.#waiting.delete(id);
    }
  }

  /** The agent's port is there with qemu, and speaks when the machine is up. */
  async #greet(path: string): Promise<void> {
    const deadline = performance.now() + BOOT_TIMEOUT;
    while (this.#agent === undefined) {
      this.#check(deadline);
      this.#agent = await connectTo(path).catch(() => undefined);
      if (this.#agent === undefined) await sleep(50);
    }
    let ready = false;
    createInterface({ input: this.#agent }).on('line', (line) => {
      const message = JSON.parse(line) as { ready?: true; id?: number } & VmResult;
      if (message.ready) ready = true;
      else this.#waiting.get(message.id ?? 0)?.(message);
    });
    while (!ready) {
      this.#check(deadline);
      await sleep(20);
    }
  }

  #check(deadline: number): void {
    const isGone = this.#qemu.exitCode !== null || this.#qemu.signalCode !== null;
    if (!isGone && performance.now() < deadline) return;
    throw new Error(this.#obituary(isGone ? 'has ended' : `is not up after ${BOOT_TIMEOUT / 1000} s`));
  }

  #obituary(what: string): string {
    const said = readFileSync(this.#console, 'utf8').slice(-2000);
    return `the virtual machine ${this.name} ${what}. Its console:\n${said}`;
  }
}

function qemuArguments({ image, payload, number, folder }: VmOptions, socket: string): string[] {
  const disk = (path: string) => ['-drive', `file=${path},format=raw,if=virtio,snapshot=on`];
  const side = number === 1 ? 'server=on' : 'server=off';
  return [
    ...['-machine', 'q35', '-accel', 'tcg,thread=multi,tb-size=256', '-cpu', 'max', '-m', String(MEMORY)],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...['-kernel', image.kernel, '-initrd', image.initramfs],
    ...['-append', `console=ttyS0 quiet panic=-1 host=${number}`],
    ...disk(image.disk),
    ...disk(payload),
    ...['-netdev', `stream,id=net,${side},addr.type=unix,addr.path=${join(folder, 'net')}`],
    ...['-device', `virtio-net-pci,netdev=net,mac=52:54:00:00:02:0${number}`],
    ...['-chardev', `socket,id=agent,path=${socket},server=on,wait=off`],
    ...['-device', 'virtio-serial', '-device', 'virtserialport,chardev=agent,name=agent'],
  ];
}

async function connectTo(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  return socket;
}
