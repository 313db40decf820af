import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gateway } from '../../src/bridge/subnet-env.ts';
import { RUN_FILES } from '../../src/config/names.ts';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { isRunning } from '../../src/host/is-running.ts';
import { type ForeignEtcd, Lab } from '../../src/lab/lab.ts';
import { hostFamiliesFor, labConfig, type Overlay } from '../../src/lab/network.ts';
import { inNamespace } from '../../src/lab/processes.ts';
import { type LabHost, type LabSpec, labFolder, underlay } from '../../src/lab/topology.ts';
import { Prefix } from '../../src/net/prefix.ts';
import { canUseNamespaces } from './netns.ts';
import { BUILT, findingsIn, programsUnderTest } from './programs.ts';

const execute = promisify(execFile);
export const NETWORK_PREFIX = '/coreos.com/network';

/** Why a lab cannot be made on this machine, or `undefined`. */
export function labObstacle(): string | undefined {
  const namespaces = canUseNamespaces();
  if (!namespaces.ok) return namespaces.reason;
  const missing = ['etcd', 'etcdctl', 'nft', 'iptables', 'ping'].filter(
    (tool) => spawnSync(tool, ['-V']).error !== undefined,
  );
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')} (make setup installs them)`;
}

const present = new Set<string>();
process.on('exit', () => {
  for (const name of present)
    spawnSync(process.execPath, [join(BUILT, 'corduroy.js'), 'lab', 'down', '--name', name]);
});

/** A lab under a name of its own, with what a test does to it. `remove` ends it, as does the end of the process. */
export class TestLab {
  readonly lab: Lab;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  /**
   * @param spec the network config may be given as an overlay, of which only what matters is said
   * @param startCluster starts another etcd than the lab's own
   */
  static async start(
    {
      config,
      hostFamilies,
      links = 1,
      mtu = 1500,
      ...overlay
    }: Partial<Omit<LabSpec, 'name'>> & Overlay = {},
    startCluster?: (spec: LabSpec) => Promise<ForeignEtcd>,
  ): Promise<TestLab> {
    const name = `t${Math.floor(Math.random() * 36 ** 6).toString(36)}`;
    present.add(name);
    const text = config ?? labConfig(overlay);
    const spec = { name, config: text, hostFamilies: hostFamilies ?? hostFamiliesFor(text), links, mtu };
    const lab = new Lab(spec, programsUnderTest());
    try {
      await lab.start(startCluster && (() => startCluster(lab.spec)));
      return new TestLab(lab);
    } catch (error) {
      await Lab.down(name);
      present.delete(name);
      throw error;
    }
  }

  async addHosts(count: number): Promise<LabHost[]> {
    const first = this.lab.hosts().length + 1;
    return await Promise.all(Array.from({ length: count }, (_, index) => this.lab.addHost(first + index)));
  }

  /** @throws what sanitizers have found in a data plane */
  async remove(): Promise<void> {
    const findings = this.#findings();
    await Lab.down(this.lab.spec.name);
    present.delete(this.lab.spec.name);
    if (findings.length > 0) throw new Error(findings.join('\n'));
  }

  #findings(): string[] {
    return this.lab.hosts().flatMap(({ name, runDir }) => {
      const log = join(runDir, RUN_FILES.datapathLog);
      const finding = existsSync(log) ? findingsIn(readFileSync(log, 'utf8')) : undefined;
      return finding === undefined ? [] : [`the data plane of ${name}: ${finding}`];
    });
  }

  /** What a package manager does: daemons that are started from now on are of another build. */
  install(programs: string): void {
    for (const program of ['corduroy', 'corduroyd']) {
      const link = join(labFolder(this.lab.spec.name), 'bin', program);
      rmSync(link);
      symlinkSync(join(programs, `${program}.js`), link);
    }
  }

  /** Ends the daemon of a host, and starts one with these flags in its place. Resolves when that is ready. */
  async restartDaemon(host: LabHost, ...flags: string[]): Promise<StatusDocument> {
    await this.endDaemon(host, 'SIGTERM');
    this.lab.startDaemon(host, flags);
    return await this.lab.untilReady(host);
  }

  /** Runs a command on a host, or in a namespace by name. @returns its standard output, trimmed */
  async on(place: LabHost | string, program: string, ...args: string[]): Promise<string> {
    const [command = '', ...words] = inNamespace(place, [program, ...args]);
    const env = this.lab.environment(typeof place === 'string' ? undefined : place);
    const { stdout } = await execute(command, words, { env, maxBuffer: 2 ** 26 });
    return stdout.trim();
  }

  /** Like `on`, for commands that may fail. */
  async attempt(
    place: LabHost | string,
    program: string,
    ...args: string[]
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const [command = '', ...words] = inNamespace(place, [program, ...args]);
    const env = this.lab.environment(typeof place === 'string' ? undefined : place);
    return await new Promise((done) => {
      execFile(command, words, { env }, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      });
    });
  }

  spawn(namespace: string, program: string, ...args: string[]): ChildProcess {
    const [command = '', ...words] = inNamespace(namespace, [program, ...args]);
    return spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'], env: this.lab.environment() });
  }

  async etcdctl(...args: string[]): Promise<string> {
    const { namespace, etcd } = underlay(this.lab.spec.name);
    return await this.on(namespace, 'etcdctl', '--endpoints', etcd, ...args);
  }

  async putLease(name: string, value: string): Promise<void> {
    await this.etcdctl('put', `${NETWORK_PREFIX}/subnets/${name}`, value);
  }

  async status(host: LabHost): Promise<StatusDocument> {
    return await this.lab.status(host);
  }

  async subnet(host: LabHost): Promise<string> {
    return (await this.status(host)).lease?.subnets[0] ?? 'none';
  }

  log(host: LabHost): string {
    return readFileSync(host.logFile, 'utf8');
  }

  /** Signals the daemon of a host, and waits until it is gone. */
  async endDaemon(host: LabHost, signal: NodeJS.Signals): Promise<void> {
    const { pid } = await this.status(host);
    process.kill(pid, signal);
    await until(`the daemon of ${host.name} is gone`, () => !isRunning(pid));
  }

  /** Whether one ping is answered within the time. */
  async pings(namespace: string, address: string, seconds = 1): Promise<boolean> {
    return (
      (await this.attempt(namespace, 'ping', '-n', '-c', '1', '-W', String(seconds), address)).code === 0
    );
  }

  /** A PATH for a daemon: all this machine's programs but some. */
  async pathWithout(...names: string[]): Promise<string> {
    const folder = join(labFolder(this.lab.spec.name), `without-${names.join('-')}`);
    mkdirSync(folder, { recursive: true });
    for (const place of (this.lab.environment().PATH ?? '').split(':')) {
      for (const name of existsSync(place) ? readdirSync(place) : []) {
        const link = join(folder, name);
        if (!names.includes(name) && !existsSync(link)) symlinkSync(join(place, name), link);
      }
    }
    return folder;
  }

  /** What `corduroy down` has to leave as it was. */
  async hostState(host: LabHost): Promise<Record<string, string>> {
    // A new link has neither carrier nor link-local address for a moment.
    const isUp = async () => / UP .* fe80:/.test(await this.on(host, 'ip', '-br', 'address', 'show', 'eth0'));
    await until('the link of the host is up', isUp);
    const text = async (program: string, ...args: string[]) =>
      withoutCounters(await this.on(host, program, ...args));
    return {
      links: await text('ip', '-br', 'link'),
      addresses: await text('ip', '-br', 'address'),
      routes: await text('ip', 'route', 'show', 'table', 'all'),
      nft: await text('nft', 'list', 'ruleset'),
      iptables: await text('iptables-save'),
      ip6tables: await text('ip6tables-save'),
    };
  }
}

/** Without packet counts, time stamps, and the link-local routes that the kernel adds seconds after a link is up. */
function withoutCounters(text: string): string {
  return text
    .split('\n')
    .filter((line) => !/^(#|local fe80:)/.test(line))
    .map((line) => line.replace(/packets \d+ bytes \d+|\[\d+:\d+\]/g, ''))
    .join('\n');
}

/** The bridge's address in a subnet: it answers pings without a container. */
export function bridgeAddress(subnet: string): string {
  return gateway(Prefix.parse(subnet)).toString();
}

export function daemonSocket(host: LabHost): string {
  return join(host.runDir, RUN_FILES.daemonSocket);
}

/** Waits for something to become true. @returns how long it took, milliseconds */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeout = 10_000,
): Promise<number> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > timeout) throw new Error(`not within ${timeout} ms: ${what}`);
    await sleep(20);
  }
  return performance.now() - start;
}
