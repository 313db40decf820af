import { randomUUID } from 'node:crypto';
import type { Plan } from '../../../src/lease/administration/plan.ts';
import { release } from '../../../src/lease/administration/release.ts';
import { type Beneficiary, reserve } from '../../../src/lease/administration/reserve.ts';
import { revoke } from '../../../src/lease/administration/revoke.ts';
import { formatReservation, reservationKey } from '../../../src/lease/reservation.ts';
import { Ip } from '../../../src/net/ip.ts';
import { Prefix } from '../../../src/net/prefix.ts';
import type { Entry, LeaseId } from '../../../src/store/store.ts';
import { Cluster, FOLDER, type Host } from './cluster.ts';
import { CONFIG_KEY, PREFIX } from './fixtures.ts';

/** A cluster of the network 10.5.1.0/24 to 10.5.4.0/24 whose operator types commands. */
export class Administered {
  readonly cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  static async create(config: object = { SubnetMax: '10.5.4.0' }): Promise<Administered> {
    const administered = new Administered(await Cluster.create());
    await administered.configure({ Network: '10.5.0.0/16', ...config });
    return administered;
  }

  async configure(config: object): Promise<void> {
    this.cluster.configRevision = (await this.cluster.put(CONFIG_KEY, JSON.stringify(config))).modRevision;
  }

  async reserve(subnets: string, beneficiary?: Beneficiary): Promise<Plan> {
    return reserve(this.cluster.store, PREFIX, parse(subnets), beneficiary);
  }

  async release(subnets: string): Promise<Plan> {
    return release(this.cluster.store, PREFIX, parse(subnets));
  }

  async revoke(subnets: string, force = false): Promise<Plan> {
    const { store, clock } = this.cluster;
    const sleep = async (milliseconds: number) => this.cluster.sleep(milliseconds);
    const context = { store, prefix: PREFIX, asker: randomUUID(), now: () => clock.ms, sleep };
    return revoke(context, parse(subnets), force);
  }

  /** The key of a subnet, such as `10.5.1.0-24`, and what stands beside it. */
  async key(name: string): Promise<Entry | undefined> {
    return this.cluster.store.get(FOLDER + name);
  }

  async side(name: string): Promise<string | undefined> {
    return (await this.cluster.store.get(reservationKey(PREFIX, name)))?.value;
  }

  async putSide(name: string, host: string): Promise<void> {
    await this.cluster.put(reservationKey(PREFIX, name), formatReservation({ host }));
  }

  /** Writes every record as it is, bound to another etcd lease. */
  async moveRecords(id: LeaseId): Promise<void> {
    const { nodes } = await this.cluster.state();
    for (const { entry } of nodes.nodes()) await this.cluster.put(entry.key, entry.value, id);
  }

  /** The next transaction comes after this. */
  race(work: () => Promise<unknown>): void {
    const { store } = this.cluster;
    store.beforeTransaction = async () => {
      store.beforeTransaction = undefined;
      await work();
    };
  }

  /** Everything in the store, as one text. */
  async everything(): Promise<string> {
    const { entries } = await this.cluster.store.list('/');
    return entries.map(({ key, value, leaseId }) => `${key} ${value} ${leaseId}`).join('\n');
  }

  /** A host that holds a lease, and that notices what is done to it as its daemon does. */
  async running(options: Parameters<Cluster['host']>[0] = {}): Promise<Host> {
    const host = this.cluster.host(options);
    await host.ensure();
    return host;
  }
}

export const by = (publicIp: string): Beneficiary => ({ publicIp: Ip.parse(publicIp) });
function parse(subnets: string): Prefix[] {
  return subnets.split(' ').map(Prefix.parse);
}
