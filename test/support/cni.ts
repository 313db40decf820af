import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { inNamespace } from '../../src/lab/processes.ts';

/** Debian's. */
const PLUGINS = '/usr/lib/cni';
/** Where host-local notes what it has given away, unless it is told. */
const DATA_DIR = '/var/lib/cni/networks';

/** Why no container can be connected by CNI on this machine, or `undefined`. */
export function cniObstacle(): string | undefined {
  return existsSync(join(PLUGINS, 'bridge'))
    ? undefined
    : "needs Debian's containernetworking-plugins (make test installs them)";
}

/** What the plugins answer to ADD. */
export interface CniResult {
  readonly interfaces: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly ips: readonly { readonly address: string; readonly gateway: string }[];
}

export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp';
}

type Plugin = Record<string, unknown> & {
  readonly type: string;
  readonly ipam?: { readonly dataDir?: string };
  readonly capabilities?: Readonly<Record<string, boolean>>;
};

interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly Plugin[];
}

interface Attachment {
  readonly conflist: Conflist;
  readonly result: CniResult;
  readonly ports: readonly PortMapping[];
}

/**
 * As much of a container runtime as CNI knows of, for a host that is a network namespace: it reads the conflist for each
 * container anew, executes its plugins one after the other, and remembers by which one a container was connected.
 */
export class CniRuntime {
  readonly #namespace: string;
  readonly #conflist: string;
  readonly #root: string;
  readonly #attachments = new Map<string, Attachment>();

  /** @param root stands before the paths at which plugins keep files: hosts that are namespaces share theirs */
  constructor(namespace: string, conflist: string, root: string) {
    this.#namespace = namespace;
    this.#conflist = conflist;
    this.#root = root;
  }

  /** Connects a namespace, as `eth0`. Rejects with what the plugin says. @returns its address */
  async add(pod: string, ports: readonly PortMapping[] = []): Promise<string> {
    const conflist = JSON.parse(readFileSync(this.#conflist, 'utf8')) as Conflist;
    let result: CniResult | undefined;
    for (const plugin of conflist.plugins)
      result = JSON.parse(await this.#execute('ADD', pod, conflist, plugin, ports, result)) as CniResult;
    if (result === undefined) throw new Error(`${this.#conflist} names no plugin`);
    this.#attachments.set(pod, { conflist, result, ports });
    return result.ips[0]?.address.split('/')[0] ?? 'none';
  }

  /** Of all families. */
  addressesOf(pod: string): string[] {
    return this.#attachment(pod).result.ips.map(({ address }) => address.split('/')[0] ?? 'none');
  }

  /** Rejects with what a plugin finds wrong. */
  async check(pod: string): Promise<void> {
    const { conflist, result, ports } = this.#attachment(pod);
    for (const plugin of conflist.plugins) await this.#execute('CHECK', pod, conflist, plugin, ports, result);
  }

  async del(pod: string): Promise<void> {
    const { conflist, result, ports } = this.#attachment(pod);
    for (const plugin of conflist.plugins.toReversed())
      await this.#execute('DEL', pod, conflist, plugin, ports, result);
    this.#attachments.delete(pod);
  }

  /** The addresses that host-local has noted as given away. */
  given(): string[] {
    return (readdirSync(this.#root, { recursive: true }) as string[])
      .map((path) => basename(path))
      .filter((name) => /^\d+\.\d+\.\d+\.\d+$/.test(name));
  }

  /** What is left of the host's files and containers when it loses power: no container gets its DEL. */
  losePower(): void {
    rmSync(join(this.#root, 'run'), { recursive: true, force: true });
    this.#attachments.clear();
  }

  #attachment(pod: string): Attachment {
    const attachment = this.#attachments.get(pod);
    if (attachment === undefined) throw new Error(`${pod} was never connected`);
    return attachment;
  }

  async #execute(
    command: 'ADD' | 'CHECK' | 'DEL',
    pod: string,
    { cniVersion, name }: Conflist,
    plugin: Plugin,
    portMappings: readonly PortMapping[],
    prevResult: CniResult | undefined,
  ): Promise<string> {
    const config = {
      ...plugin,
      cniVersion,
      name,
      ...(plugin.ipam && {
        ipam: { ...plugin.ipam, dataDir: join(this.#root, plugin.ipam.dataDir ?? DATA_DIR) },
      }),
      ...(plugin.capabilities?.portMappings && { runtimeConfig: { portMappings } }),
      prevResult,
    };
    const environment = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod,
      CNI_NETNS: `/run/netns/${pod}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: PLUGINS,
    };
    const [program = '', ...args] = inNamespace(this.#namespace, [join(PLUGINS, plugin.type)]);
    const child = spawn(program, args, {
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stdin.end(JSON.stringify(config));
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject).on('close', resolve);
    });
    // A plugin's complaint is JSON on standard output.
    if (code !== 0) throw new Error(`${plugin.type} ${command}: ${output.trim()}`);
    return output;
  }
}
