import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { NspawnHost } from './nspawn.ts';

const execute = promisify(execFile);

/** Of the image `loadBusybox` makes. */
const BUSYBOX = 'busybox:test';

/** Makes an image of Debian's busybox: there is no registry to get one from. */
export async function loadBusybox(host: NspawnHost): Promise<void> {
  await host.sh(`
    tree=$(mktemp -d)
    mkdir -p $tree/bin $tree/etc $tree/tmp $tree/srv
    for applet in $(busybox --list); do ln -s busybox $tree/bin/$applet; done
    cp --remove-destination /bin/busybox $tree/bin/busybox
    echo root:x:0:0:root:/:/bin/sh >$tree/etc/passwd
    tar -C $tree -c . | docker import - ${BUSYBOX}
    rm -rf $tree`);
}

/** A container on a host, which Docker starts again whenever it starts. It serves its folder /srv over HTTP. */
export class Container {
  readonly host: NspawnHost;
  readonly name: string;

  private constructor(host: NspawnHost, name: string) {
    this.host = host;
    this.name = name;
  }

  /** @param options of `docker run` */
  static async start(host: NspawnHost, name: string, ...options: string[]): Promise<Container> {
    await host.run(
      ...(['docker', 'run', '--detach', '--init', '--restart=always', `--name=${name}`] as const),
      ...options,
      ...[BUSYBOX, 'httpd', '-f', '-vv', '-p', '80', '-h', '/srv'],
    );
    return new Container(host, name);
  }

  /** In its (first) network. */
  async address(): Promise<string> {
    const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}';
    const [address] = (await this.host.run('docker', 'inspect', '-f', format, this.name)).split(' ');
    if (!address) throw new Error(`${this.name} on ${this.host.name} has no address`);
    return address;
  }

  /** Standard output of a command inside, trimmed. */
  async run(...command: string[]): Promise<string> {
    return await this.host.run('docker', 'exec', this.name, ...command);
  }

  async log(): Promise<string> {
    const { stdout, stderr } = await this.host.attempt('docker', 'logs', this.name);
    return stdout + stderr;
  }

  /** The command line of a program of this machine, say its ping, in the container's network. */
  async inNetwork(program: string, ...args: string[]): Promise<[string, string[]]> {
    const pid = await this.host.run('docker', 'inspect', '-f', '{{.State.Pid}}', this.name);
    if (!/^[1-9]\d*$/.test(pid)) throw new Error(`${this.name} on ${this.host.name} does not run`);
    // The host's /proc, which counts processes as the host does.
    return ['nsenter', [`--net=${this.host.path(`/proc/${pid}/ns/net`)}`, '--', program, ...args]];
  }

  /** Whether one ping is answered. @param size bytes of data; the packet is 28 more, and must not be cut */
  async reaches(address: string, { size = 56, seconds = 1 } = {}): Promise<boolean> {
    const words = ['-n', '-c', '1', '-W', String(seconds), '-M', 'do', '-s', String(size), address];
    try {
      await execute(...(await this.inNetwork('ping', ...words)));
      return true;
    } catch {
      return false;
    }
  }
}
