import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ForeignEtcd } from '../../src/lab/lab.ts';
import { inNamespace } from '../../src/lab/processes.ts';
import { type LabSpec, underlay } from '../../src/lab/topology.ts';
import { type EtcdCertificates, makeCertificates } from './etcd-certificates.ts';
import { EtcdMember, memberAddress } from './etcd-member.ts';
import { FAST_FOLDER } from './fast-folder.ts';
import { NETWORK_PREFIX } from './lab.ts';

const execute = promisify(execFile);
const PUT_MANY = fileURLToPath(new URL('./etcd-put-many.mjs', import.meta.url));
const MEMBERS = [1, 2, 3];
const ROOT = { name: 'root', password: 'of-the-administrator' };
const DAEMON = { name: 'corduroyd', password: 'of-the-daemons' };
/** Milliseconds. */
const HEALTHY_TIMEOUT = 20_000;

const folders = new Set<string>();
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/**
 * Three real etcd members in the underlay of a lab, each in a network namespace of its own, with TLS both ways, and
 * authentication: daemons come as a user who may do no more than they need. It ends with its lab; `remove` only takes
 * its files away.
 */
export class EtcdCluster {
  readonly members: readonly EtcdMember[];
  readonly #namespace: string;
  readonly #folder: string;
  readonly #certificates: EtcdCertificates;
  #authEnabled = false;

  private constructor(lab: LabSpec, folder: string, certificates: EtcdCertificates) {
    this.#namespace = underlay(lab.name).namespace;
    this.#folder = folder;
    this.#certificates = certificates;
    this.members = MEMBERS.map((index) => new EtcdMember({ lab, index, folder, certificates }));
  }

  /** Resolves when all members answer and the daemons' user is there. To be given to `TestLab.start`. */
  static async start(lab: LabSpec): Promise<EtcdCluster> {
    // etcd calls fdatasync with every write: a real disk would make the tests' times its own.
    const folder = mkdtempSync(join(FAST_FOLDER, `cdy-${lab.name}-etcd-`));
    folders.add(folder);
    try {
      const certificates = await makeCertificates(folder, MEMBERS.map(memberAddress));
      const cluster = new EtcdCluster(lab, folder, certificates);
      for (const member of cluster.members) await member.join();
      cluster.startAll();
      await cluster.healthy();
      await cluster.#addUsers();
      return cluster;
    } catch (error) {
      removeFolder(folder);
      throw error;
    }
  }

  /** What a lab needs to know of it. */
  get access(): ForeignEtcd {
    const { ca, client } = this.#certificates;
    return {
      access: {
        CORDUROYD_ETCD_ENDPOINTS: this.#endpoints(this.members),
        CORDUROYD_ETCD_CAFILE: ca,
        CORDUROYD_ETCD_CERTFILE: client.cert,
        CORDUROYD_ETCD_KEYFILE: client.key,
        CORDUROYD_ETCD_USERNAME: DAEMON.name,
        CORDUROYD_ETCD_PASSWORD: DAEMON.password,
      },
      adminAccess: { CORDUROYD_ETCD_USERNAME: ROOT.name, CORDUROYD_ETCD_PASSWORD: ROOT.password },
    };
  }

  member(index: number): EtcdMember {
    const member = this.members[index];
    if (member === undefined)
      throw new Error(`etcd has no member ${index}, only 0 to ${this.members.length - 1}`);
    return member;
  }

  /** Resolves when each of these members answers, which takes a majority. */
  async healthy(members: readonly EtcdMember[] = this.members): Promise<void> {
    const giveUp = performance.now() + HEALTHY_TIMEOUT;
    for (;;) {
      const answers = await Promise.all(members.map((member) => member.isHealthy()));
      if (answers.every(Boolean)) return;
      if (performance.now() > giveUp) {
        const silent = members.filter((_, index) => !answers[index]);
        const logs = silent.map((member) => `${member.name}:\n${member.logTail()}`).join('\n');
        throw new Error(
          `etcd does not answer on ${silent.map(({ name }) => name).join(', ')}; logs:\n${logs}`,
        );
      }
      await sleep(20);
    }
  }

  /** @throws when no member leads just now */
  async leader(): Promise<EtcdMember> {
    const asked = this.members.map(async (member) => {
      const [answer] = JSON.parse(await this.etcdctlOn([member], 'endpoint', 'status', '-w', 'json')) as {
        Status: { leader: number; header: { member_id: number } };
      }[];
      const { leader, header } = answer?.Status ?? { leader: 0, header: { member_id: 0 } };
      return leader !== 0 && leader === header.member_id;
    });
    const leads = await Promise.allSettled(asked);
    const index = leads.findIndex((one) => one.status === 'fulfilled' && one.value);
    return this.member(index);
  }

  startAll(): void {
    for (const member of this.members) this.restart(member);
  }

  /** Starts a member that was killed. @param diskDelay of each fdatasync, milliseconds */
  restart(member: EtcdMember, diskDelay = 0): void {
    member.start(this.#initialCluster, diskDelay);
  }

  async killAll(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }

  async restartAll(): Promise<void> {
    await this.killAll();
    this.startAll();
    await this.healthy();
  }

  /** @returns the file */
  async saveSnapshot(name: string): Promise<string> {
    const file = join(this.#folder, `${name}.snapshot`);
    rmSync(file, { force: true });
    // A snapshot is of one member.
    await this.etcdctlOn([await this.leader()], 'snapshot', 'save', file);
    return file;
  }

  /** What an administrator does after a disaster: all members begin anew, with the content of the file. */
  async restoreAll(file: string): Promise<void> {
    await this.killAll();
    const cluster = [
      '--initial-cluster',
      this.#initialCluster,
      '--initial-cluster-token',
      `restored-${Date.now()}`,
    ];
    await Promise.all(
      this.members.map(async (member) => {
        rmSync(member.dataFolder, { recursive: true, force: true });
        const own = ['--name', member.name, '--initial-advertise-peer-urls', member.peerUrl];
        const args = ['snapshot', 'restore', file, ...own, ...cluster, '--data-dir', member.dataFolder];
        await execute('etcdctl', args, { env: { PATH: process.env.PATH, ETCDCTL_API: '3' } });
      }),
    );
    this.startAll();
    await this.healthy();
  }

  /** Forgets all history, on disk too. @returns the revision up to which */
  async compact(): Promise<string> {
    const revision = await this.revision();
    await this.etcdctl('compact', revision, '--physical');
    return revision;
  }

  async revision(): Promise<string> {
    const answer = await this.etcdctl('get', 'no-such-key', '-w', 'json');
    return /"revision":(\d+)/.exec(answer)?.[1] ?? '0';
  }

  /** Overwrites a key often, for watchers to fall behind. @param bytes of each value */
  async putMany(key: string, count: number, bytes: number): Promise<void> {
    const { ca, client } = this.#certificates;
    const { clientUrl } = await this.leader();
    const files = [clientUrl, ca, client.cert, client.key];
    const words = [PUT_MANY, ...files, `${ROOT.name}:${ROOT.password}`, key, String(count), String(bytes)];
    const [program = '', ...args] = inNamespace(this.#namespace, [process.execPath, ...words]);
    await execute(program, args, { timeout: 20_000 });
  }

  /** As the administrator. */
  async etcdctl(...args: string[]): Promise<string> {
    return await this.etcdctlOn(this.members, ...args);
  }

  async etcdctlOn(members: readonly EtcdMember[], ...args: string[]): Promise<string> {
    const { ca, client } = this.#certificates;
    const env = {
      PATH: process.env.PATH,
      ETCDCTL_API: '3',
      ETCDCTL_ENDPOINTS: this.#endpoints(members),
      ETCDCTL_CACERT: ca,
      ETCDCTL_CERT: client.cert,
      ETCDCTL_KEY: client.key,
      ...(this.#authEnabled && { ETCDCTL_USER: `${ROOT.name}:${ROOT.password}` }),
    };
    const [program = '', ...words] = inNamespace(this.#namespace, ['etcdctl', ...args]);
    const { stdout } = await execute(program, words, { env, maxBuffer: 2 ** 26, timeout: 20_000 });
    return stdout.trim();
  }

  remove(): void {
    removeFolder(this.#folder);
  }

  get #initialCluster(): string {
    return this.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
  }

  #endpoints(members: readonly EtcdMember[]): string {
    return members.map(({ clientUrl }) => clientUrl).join(',');
  }

  async #addUsers(): Promise<void> {
    const role = 'corduroy-host';
    const permissions: [string, string][] = [
      ['read', `${NETWORK_PREFIX}/`],
      ['readwrite', `${NETWORK_PREFIX}/subnets/`],
      ['readwrite', `${NETWORK_PREFIX}/corduroy/`],
    ];
    await this.etcdctl('role', 'add', role);
    for (const [permission, key] of permissions)
      await this.etcdctl('role', 'grant-permission', '--prefix', role, permission, key);
    await this.etcdctl('user', 'add', `${DAEMON.name}:${DAEMON.password}`);
    await this.etcdctl('user', 'grant-role', DAEMON.name, role);
    // etcd enables authentication only when a user called "root" has the role "root".
    await this.etcdctl('role', 'add', 'root');
    await this.etcdctl('user', 'add', `${ROOT.name}:${ROOT.password}`);
    await this.etcdctl('user', 'grant-role', ROOT.name, 'root');
    await this.etcdctl('auth', 'enable');
    this.#authEnabled = true;
  }
}

function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}
