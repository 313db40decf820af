import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startInNamespace } from '../../src/lab/processes.ts';
import { type LabHost, labFolder } from '../../src/lab/topology.ts';
import type { Family } from '../../src/net/ip.ts';
import { TestDockerd } from './dockerd.ts';
import { TestLab } from './lab.ts';

/** Hosts of a lab that have a dockerd in the place of the lab's bridges and containers. */
export class DockerHosts {
  readonly lab: TestLab;
  readonly hosts: readonly LabHost[];
  readonly dockerds: readonly TestDockerd[];

  private constructor(lab: TestLab, hosts: readonly LabHost[], dockerds: readonly TestDockerd[]) {
    this.lab = lab;
    this.hosts = hosts;
    this.dockerds = dockerds;
  }

  /**
   * Neither daemons nor dockerds run yet.
   * @param settings in the daemons' configuration files
   * @param families of the network
   */
  static async start(
    count: number,
    settings: Readonly<Record<string, unknown>> = {},
    families: readonly Family[] = [4],
  ): Promise<DockerHosts> {
    const lab = await TestLab.start({ families });
    const indexes = Array.from({ length: count }, (_, index) => index + 1);
    const hosts = await Promise.all(indexes.map((index) => lab.lab.prepareHost(index)));
    for (const host of hosts) writeFileSync(configFileOf(host), `${JSON.stringify(settings)}\n`);
    return new DockerHosts(
      lab,
      hosts,
      hosts.map(({ namespace }) => new TestDockerd(namespace)),
    );
  }

  /** What this host's programs go by, its settings among it: a file of its own. */
  environment(host: LabHost): NodeJS.ProcessEnv {
    const dockerd = this.dockerds[this.hosts.indexOf(host)];
    return {
      ...this.lab.lab.environment(host),
      CORDUROYD_CONFIG_FILE: configFileOf(host),
      CORDUROYD_DOCKER_SOCKET: dockerd?.socket,
      CORDUROYD_DOCKER_CONFIG_FILE: dockerd?.configFile,
      PATH: `${join(labFolder(this.lab.lab.spec.name), 'bin')}:/usr/sbin:/usr/bin:/sbin:/bin:${dirname(process.execPath)}`,
    };
  }

  /** Resolves when it is ready. */
  async startDaemon(host: LabHost, ...flags: string[]): Promise<void> {
    startInNamespace(
      host.namespace,
      [this.#program('corduroyd'), ...flags],
      host.logFile,
      this.environment(host),
    );
    await this.lab.lab.untilReady(host);
  }

  async corduroy(
    host: LabHost,
    ...args: string[]
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const settings = Object.entries(this.environment(host))
      .filter(([name]) => name.startsWith('CORDUROYD_') || name === 'PATH')
      .map(([name, value]) => `${name}=${value}`);
    return await this.lab.attempt(host, 'env', ...settings, this.#program('corduroy'), ...args);
  }

  #program(name: string): string {
    return join(labFolder(this.lab.lab.spec.name), 'bin', name);
  }

  async subnet(index: number): Promise<string> {
    return await this.lab.subnet(this.hosts[index] as LabHost);
  }

  async remove(): Promise<void> {
    for (const dockerd of this.dockerds) await dockerd.remove();
    await this.lab.remove();
  }
}

/** corduroyd.json of a host. */
export function configFileOf({ logFile }: LabHost): string {
  return join(dirname(logFile), 'corduroyd.json');
}
