import { setTimeout as sleep } from 'node:timers/promises';
import type { LabHost } from '../../src/lab/topology.ts';
import type { ClusterLab } from '../support/cluster-lab.ts';
import type { EtcdMember } from '../support/etcd-member.ts';
import type { EtcdFault, HostFault, Step } from './schedule.ts';

/** Backups that are kept, the newest last. */
const BACKUPS = 8;
/** A host has ten addresses: of h3 these are 192.0.2.3, .23, .43 and so on. Not more than 19 hosts, then. */
const ADDRESS_STEP = 20;
const ADDRESSES = 10;

/** Carries out the steps of a schedule on a lab, and undoes what they did. */
export class Faults {
  readonly #lab: ClusterLab;
  /** Called before a host's address changes. */
  readonly #onAddressChange: (host: LabHost) => void;
  readonly #backups: string[] = [];

  constructor(lab: ClusterLab, onAddressChange: (host: LabHost) => void) {
    this.#lab = lab;
    this.#onAddressChange = onAddressChange;
  }

  /** Resolves when the fault is over: every member answers, and every daemon has been started. */
  async carryOut({ number, etcd, host }: Step): Promise<void> {
    this.#backups.push(await this.#lab.cluster.saveSnapshot(`step-${number % (BACKUPS + 1)}`));
    if (this.#backups.length > BACKUPS) this.#backups.shift();
    const onHost = async () => {
      if (host === undefined) return;
      // etcd's fault comes first, and lasts beyond the host's.
      if (etcd !== undefined) await sleep(200);
      await this.#toHost(host);
    };
    if (etcd === undefined) await onHost();
    else await this.#toEtcd(etcd, onHost);
    await this.#lab.cluster.healthy();
  }

  /** @param meanwhile is over before the fault is undone */
  async #toEtcd(fault: EtcdFault, meanwhile: () => Promise<void>): Promise<void> {
    const { cluster } = this.#lab;
    const lasts = async (milliseconds: number) =>
      void (await Promise.all([sleep(milliseconds), meanwhile()]));
    switch (fault.kind) {
      case 'member-killed': {
        const member = cluster.member(fault.member);
        await member.kill();
        await lasts(fault.lasts);
        cluster.restart(member);
        return;
      }
      case 'member-hangs': {
        const member = cluster.member(fault.member);
        await member.stop();
        await lasts(fault.lasts);
        member.cont();
        return;
      }
      case 'leader-isolated': {
        const leader = await cluster.leader();
        await leader.setLink('down');
        await lasts(fault.lasts);
        await leader.setLink('up');
        return;
      }
      case 'quorum-lost': {
        const two = cluster.members.filter((_, index) => index !== fault.spared);
        await Promise.all(two.map((member) => member[fault.how]()));
        await lasts(fault.lasts);
        for (const member of two) this.#bringBack(member);
        return;
      }
      case 'compaction':
        await this.#lab.compactUnder(this.#host(fault.host), fault.lasts);
        return await meanwhile();
      case 'disk-slow': {
        const member = cluster.member(fault.member);
        await member.kill();
        cluster.restart(member, fault.delay);
        await cluster.healthy();
        await lasts(fault.lasts);
        await member.kill();
        cluster.restart(member);
        return;
      }
      case 'members-restarted':
        await cluster.restartAll();
        return await meanwhile();
      case 'backup-restored': {
        const backup = this.#backups.at(-1 - fault.stepsAgo) ?? this.#backups[0];
        if (backup === undefined) throw new Error('there is no backup yet');
        await cluster.restoreAll(backup);
        return await meanwhile();
      }
    }
  }

  #bringBack(member: EtcdMember): void {
    member.cont();
    if (!member.isRunning) this.#lab.cluster.restart(member);
  }

  async #toHost(fault: HostFault): Promise<void> {
    const host = this.#host(fault.host);
    switch (fault.kind) {
      case 'daemon-killed':
        await this.#lab.killDaemon(host);
        await sleep(fault.lasts);
        this.#lab.startDaemon(host);
        return;
      case 'address-changed':
        this.#onAddressChange(host);
        return await this.#lab.changeAddress(host, nextAddress(this.#lab.addressOf(host)));
    }
  }

  #host(index: number): LabHost {
    const host = this.#lab.hosts[index];
    if (host === undefined) throw new Error(`the lab has no host ${index}`);
    return host;
  }
}

function nextAddress(address: string): string {
  const last = lastByte(address);
  const number = last % ADDRESS_STEP;
  return `192.0.2.${number + ((last - number + ADDRESS_STEP) % (ADDRESS_STEP * ADDRESSES))}`;
}

/** The name of the host that has an address, or had it. */
export function ownerOf(address: string): string {
  return `h${lastByte(address) % ADDRESS_STEP}`;
}

function lastByte(address: string): number {
  return Number(address.split('.')[3]);
}
