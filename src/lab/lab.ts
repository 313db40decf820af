import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { parseEnv } from '../bridge/subnet-env.ts';
import { namesFor, RUN_FILES } from '../config/names.ts';
import { daemonRequest } from '../daemon/control-client.ts';
import { lockPath } from '../daemon/control-server.ts';
import type { StatusDocument } from '../daemon/status.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { readIfThere, writeAtomically } from '../host/atomic-file.ts';
import { run } from '../host/exec.ts';
import { makeMounts, removeMountPoint } from './mounts.ts';
import { containerAddress } from './network.ts';
import { endAllIn, inNamespace, startInNamespace } from './processes.ts';
import {
  containerBatches,
  hostBatches,
  isOfLab,
  LAB_BRIDGE,
  type LabHost,
  type LabSpec,
  labFolder,
  labHost,
  type NamespaceBatch,
  runsEtcd,
  underlay,
  underlayBatch,
} from './topology.ts';

/** Where the built programs are: the folder with corduroy.js and corduroyd.js. */
export type Programs = string;

/** Milliseconds. */
const START_TIMEOUT = 20_000;
const ROUTER = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];

const specSchema = z.object({
  name: z.string(),
  config: z.string(),
  hostFamilies: z.array(z.union([z.literal(4), z.literal(6)])),
  links: z.number(),
  mtu: z.number(),
});

/** An etcd that somebody else starts, in the lab's underlay, as CORDUROYD_* variables. */
export interface ForeignEtcd {
  /** For the daemons and the commands on their hosts. */
  readonly access: Readonly<Record<string, string>>;
  /** For who writes the network config, beside those. */
  readonly adminAccess: Readonly<Record<string, string>>;
}

/** Hosts as network namespaces on this machine, each with a real daemon, around a real etcd. */
export class Lab {
  readonly spec: LabSpec;
  readonly #programs: Programs;
  #foreignEtcd: ForeignEtcd | undefined;

  constructor(spec: LabSpec, programs: Programs) {
    this.spec = spec;
    this.#programs = programs;
  }

  /** @returns the lab of this name, or `undefined` when it is not up */
  static find(name: string, programs: Programs): Lab | undefined {
    const text = readIfThere(join(labFolder(name), 'lab.json'));
    if (text === undefined) return undefined;
    const { data, success } = specSchema.safeParse(JSON.parse(text));
    if (!success) {
      const remedy = `end it, with: corduroy lab down --name ${name}`;
      throw new CorduroyError('usage', `lab ${name} was made by another version: ${remedy}`);
    }
    return new Lab(data, programs);
  }

  /** The hosts that have been started, in order. */
  hosts(): LabHost[] {
    const indexes = readdirSync(labFolder(this.spec.name)).flatMap(
      (entry) => /^h(\d+)$/.exec(entry)?.[1] ?? [],
    );
    return indexes
      .map(Number)
      .sort((one, other) => one - other)
      .map((index) => labHost(this.spec, index));
  }

  /**
   * The underlay, etcd, and the network config in it.
   * @param startEtcd starts another etcd than the lab's own, once the underlay stands
   * @throws CorduroyError saying what is missing on this machine
   */
  async start(startEtcd?: () => Promise<ForeignEtcd>): Promise<void> {
    const { name, config, links } = this.spec;
    const folder = labFolder(name);
    mkdirSync(join(folder, 'bin'), { recursive: true, mode: 0o755 });
    writeAtomically(join(folder, 'lab.json'), `${JSON.stringify(this.spec)}\n`, 0o600); // A PSK may be in it.
    writeAtomically(join(folder, 'no-settings.json'), '{}\n', 0o644);
    for (const program of ['corduroy', 'corduroyd']) {
      rmSync(join(folder, 'bin', program), { force: true });
      symlinkSync(join(this.#programs, `${program}.js`), join(folder, 'bin', program));
    }
    const { namespace } = underlay(name);
    await run('ip', ['netns', 'add', namespace]);
    await applyBatch(underlayBatch(this.spec));
    if (links > 1) {
      const [program = '', ...args] = inNamespace(namespace, ['sysctl', '-qw', ...ROUTER]);
      await run(program, args);
    }
    this.#foreignEtcd = await startEtcd?.();
    if (startEtcd === undefined) this.#startEtcd();
    await this.#setConfig(config);
  }

  /** A host with its daemon, once that is ready; and its container. */
  async addHost(index: number): Promise<LabHost> {
    const host = await this.prepareHost(index);
    this.startDaemon(host);
    await this.addContainer(host, await this.untilReady(host));
    return host;
  }

  /** The namespaces of a host and its container, the host joined to the underlay; nothing runs in them yet. */
  async prepareHost(index: number): Promise<LabHost> {
    const host = labHost(this.spec, index);
    mkdirSync(host.runDir, { recursive: true, mode: 0o755 });
    writeAtomically(host.machineIdFile, `${machineId(this.spec.name, index)}\n`, 0o444);
    await run('ip', ['netns', 'add', host.namespace]);
    await run('ip', ['netns', 'add', host.container.namespace]);
    await makeMounts(host);
    for (const batch of hostBatches(this.spec, host)) await applyBatch(batch);
    return host;
  }

  /** @param environment variables to set beside the lab's own */
  startDaemon(host: LabHost, flags: readonly string[] = [], environment: NodeJS.ProcessEnv = {}): void {
    const command = [join(labFolder(this.spec.name), 'bin', 'corduroyd'), '--bridge', LAB_BRIDGE, ...flags];
    startInNamespace(host, command, host.logFile, { ...this.environment(host), ...environment });
  }

  /** What a program on a lab host sees: its own daemon and etcd, and nothing of this machine's settings. */
  environment(host?: LabHost): NodeJS.ProcessEnv {
    const foreign = /^(CORDUROYD|FLANNELD)_/;
    const inherited = Object.entries(process.env).filter(([name]) => !foreign.test(name));
    const folder = labFolder(this.spec.name);
    const { etcd, etcd6 } = underlay(this.spec.name);
    return {
      ...Object.fromEntries(inherited),
      PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
      CORDUROYD_CONFIG_FILE: join(folder, 'no-settings.json'),
      CORDUROYD_ETCD_ENDPOINTS: this.spec.hostFamilies.includes(4) ? etcd : etcd6,
      ...this.#foreignEtcd?.access,
      ...(host && {
        CORDUROYD_RUN_DIR: host.runDir,
        CORDUROYD_STATE_DIR: host.stateDir,
        CORDUROYD_SUBNET_FILE: host.subnetFile,
        CORDUROYD_MACHINE_ID_FILE: host.machineIdFile,
        CORDUROYD_NODE_NAME: host.name,
      }),
    };
  }

  async status(host: LabHost): Promise<StatusDocument> {
    return (await daemonRequest(
      join(host.runDir, RUN_FILES.daemonSocket),
      'GET',
      '/v1/status',
    )) as StatusDocument;
  }

  async untilReady(host: LabHost): Promise<StatusDocument> {
    const deadline = performance.now() + START_TIMEOUT;
    for (;;) {
      const status = await this.status(host).catch((error: unknown) => messageOf(error));
      if (typeof status !== 'string' && status.ready) return status;
      if (performance.now() > deadline) {
        const why = typeof status === 'string' ? status : status.problems.join('; ');
        throw new CorduroyError(
          'timeout',
          `${host.name} is not ready after ${START_TIMEOUT / 1000} s: ${why}. Its log is ${host.logFile}`,
        );
      }
      await sleep(20);
    }
  }

  /** One container, with the second address of each of the host's subnets. */
  async addContainer(host: LabHost, { lease, mtu }: StatusDocument): Promise<void> {
    const variables = parseEnv(readFileSync(host.subnetFile, 'utf8'));
    const gateways = ['FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET'].flatMap((name) => variables.get(name) ?? []);
    if (lease === undefined || mtu === undefined || gateways.length !== lease.subnets.length) {
      throw new CorduroyError('no-daemon', `${host.name} has no lease`);
    }
    const ends = gateways.map((gateway, index) => ({
      gateway,
      address: containerAddress(lease.subnets.slice(index)),
    }));
    for (const batch of containerBatches(host, ends, mtu)) await applyBatch(batch);
  }

  /** Ends every process of the lab and removes its namespaces and files. Also a lab that came up half-way. */
  static async down(name: string): Promise<string[]> {
    const namespaces = (await listNamespaces()).filter((namespace) => isOfLab(name, namespace));
    // Hosts first: a daemon ends faster while its etcd still answers.
    const last = namespaces.filter((one) => runsEtcd(name, one));
    await Promise.all(namespaces.filter((one) => !last.includes(one)).map(endAllIn));
    await Promise.all(last.map(endAllIn));
    for (const namespace of namespaces) {
      // What a daemon leaves that had to be killed.
      rmSync(lockPath(namesFor('').linkMark, `/run/netns/${namespace}`), { force: true });
      await run('ip', ['netns', 'delete', namespace]);
    }
    rmSync(labFolder(name), { recursive: true, force: true });
    try {
      rmdirSync(dirname(labFolder(name)));
      removeMountPoint();
    } catch (error) {
      // Other labs are in there, or none ever was.
      if (!['ENOTEMPTY', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
    return namespaces;
  }

  #startEtcd(): void {
    const { namespace, etcd, etcd6 } = underlay(this.spec.name);
    const folder = labFolder(this.spec.name);
    const etcdCommand = ['etcd', '--name', 'lab', '--data-dir', join(folder, 'etcd'), '--log-level', 'warn'];
    const urls = [
      '--listen-client-urls',
      `${etcd},${etcd6}`,
      '--advertise-client-urls',
      `${etcd},${etcd6}`,
      '--listen-peer-urls',
      'http://127.0.0.1:2380',
    ];
    startInNamespace(namespace, [...etcdCommand, ...urls], join(folder, 'etcd.log'), process.env);
  }

  async #setConfig(document: string): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT;
    const folder = labFolder(this.spec.name);
    const { namespace } = underlay(this.spec.name);
    const environment = { ...this.environment(), ...this.#foreignEtcd?.adminAccess };
    const settings = Object.entries(environment).filter(([key]) => key.startsWith('CORDUROYD_'));
    const words = [
      'env',
      ...settings.map(([key, value]) => `${key}=${value}`),
      join(folder, 'bin', 'corduroy'),
      'config',
      'set',
      '-',
    ];
    const [program = '', ...args] = inNamespace(namespace, words);
    for (;;) {
      const options = { allowFailure: true, timeout: START_TIMEOUT, input: document };
      const { code, stderr } = await run(program, args, options);
      if (code === 0) return;
      if (performance.now() > deadline) {
        throw new CorduroyError(
          'timeout',
          `the lab's etcd does not answer: ${stderr.trim()}. Its log is ${join(folder, 'etcd.log')}`,
        );
      }
      await sleep(100);
    }
  }
}

/** The hosts of a lab share this machine's id, and need one each. */
function machineId(lab: string, index: number): string {
  return createHash('sha256').update(`${lab} ${index}`).digest('hex').slice(0, 32);
}

async function listNamespaces(): Promise<string[]> {
  const { stdout } = await run('ip', ['netns', 'list']);
  return stdout.split('\n').flatMap((line) => line.split(' ')[0] || []);
}

async function applyBatch({ namespace, lines }: NamespaceBatch): Promise<void> {
  await run('ip', ['-netns', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}
