import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Administrator, withAdministrator } from '../../../src/enroll/administrator.ts';
import { EtcdByHand } from '../../../src/enroll/etcd-service.ts';
import { type EtcdService, type Founding, foundEtcd } from '../../../src/enroll/found.ts';
import { issueToken } from '../../../src/enroll/issue.ts';
import { type FounderLayout, founderLayout } from '../../../src/enroll/layout.ts';
import type { NewToken } from '../../../src/enroll/tokens.ts';
import { FAST_FOLDER } from '../../support/fast-folder.ts';

/** Milliseconds. */
const PATIENCE = 20_000;
export const PREFIX = '/coreos.com/network';

const present = new Set<FoundedCluster>();
process.on('exit', () => {
  for (const cluster of present) cluster.removeNow();
});

/** What `corduroy init` makes, in a folder and on a port of the test's own; the test starts and stops etcd. */
export class FoundedCluster implements EtcdService {
  readonly layout: FounderLayout;
  readonly port: number;
  /** Called once etcd runs, each time that it was started. */
  onStart: () => Promise<void> = async () => undefined;
  readonly #folder: string;
  #etcd: ChildProcess | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
    this.layout = founderLayout(join(folder, 'etc/corduroyd.json'), join(folder, 'state'));
  }

  /** Nothing is founded yet. */
  static async prepare(): Promise<FoundedCluster> {
    // etcd calls fdatasync with every write.
    const folder = mkdtempSync(join(FAST_FOLDER, 'cdyt-init-'));
    mkdirSync(join(folder, 'run'));
    const cluster = new FoundedCluster(folder, await freePort());
    present.add(cluster);
    return cluster;
  }

  static async founded(): Promise<FoundedCluster> {
    const cluster = await FoundedCluster.prepare();
    await cluster.found();
    return cluster;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get endpoint(): string {
    return `https://${this.address}`;
  }

  async found(changes: Partial<Founding> = {}, service: EtcdService = this): Promise<boolean> {
    const founding = {
      layout: this.layout,
      address: '127.0.0.1',
      port: this.port,
      hostName: 'first',
      prefix: PREFIX,
      renew: false,
      owner: undefined,
      say: () => undefined,
    };
    return foundEtcd({ ...founding, ...changes }, service);
  }

  async ensureRuns(configChanged: boolean): Promise<boolean> {
    if (this.#etcd === undefined || configChanged) await this.restart();
    return true;
  }

  async restart(): Promise<void> {
    await this.stopEtcd();
    const log = openSync(join(this.#folder, 'etcd.log'), 'a');
    this.#etcd = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', '/usr/bin/etcd', `--config-file=${this.layout.etcdConfig}`],
      { cwd: join(this.#folder, 'run'), stdio: ['ignore', log, log] },
    );
    await this.#untilItAnswers();
    await this.onStart();
  }

  async stopEtcd(): Promise<void> {
    const etcd = this.#etcd;
    this.#etcd = undefined;
    if (etcd === undefined || etcd.exitCode !== null) return;
    const gone = once(etcd, 'exit');
    etcd.kill('SIGKILL');
    await gone;
  }

  async asRoot<T>(task: (administrator: Administrator) => Promise<T>): Promise<T> {
    return withAdministrator(this.layout, task);
  }

  async token(ttl = 3600): Promise<NewToken> {
    return this.asRoot((administrator) => issueToken(administrator, this.layout, ttl));
  }

  async remove(): Promise<void> {
    await this.stopEtcd();
    this.removeNow();
  }

  removeNow(): void {
    this.#etcd?.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
    present.delete(this);
  }

  async #untilItAnswers(): Promise<void> {
    const byHand = new EtcdByHand(this.layout);
    for (const deadline = performance.now() + PATIENCE; !(await byHand.ensureRuns(false)); await sleep(50)) {
      if (performance.now() > deadline || this.#etcd?.exitCode !== null)
        throw new Error(`etcd does not answer: ${readFileSync(join(this.#folder, 'etcd.log'), 'utf8')}`);
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
