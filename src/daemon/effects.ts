import type { BackendInput, BackendState, DatapathState } from '../backend/backend.ts';
import { isCode } from '../errors.ts';
import type { ExternalInterface } from '../host/state.ts';
import type { Family } from '../net/ip.ts';
import type { DaemonParts } from './daemon-parts.ts';
import type { DatapathKeeper } from './datapath-keeper.ts';
import type { HostWish } from './host-keeper.ts';
import type { Problems } from './problems.ts';

/** Whether a round brought about what containers need to be connected, and whether it brought everything about. */
export type Outcome = Readonly<{ stands: boolean; settled: boolean }>;

export interface Situation extends Pick<BackendInput, 'ranges' | 'subnets'> {
  /** Of the backend. */
  readonly mtu: number;
  readonly iface: ExternalInterface;
  /** Whether the network is known from disk, and etcd has not answered yet. */
  readonly isRemembered: boolean;
}

/** Brings about what a round has computed: on the host, in the data plane, for containers. */
export class Effects {
  readonly #parts: DaemonParts;
  readonly #problems: Problems;
  readonly #datapath: DatapathKeeper;
  #needsEngine = true;

  constructor(parts: DaemonParts, problems: Problems, datapath: DatapathKeeper) {
    this.#parts = parts;
    this.#problems = problems;
    this.#datapath = datapath;
  }

  /** Whether what was wished last has a data plane; else the kernel carries the packets. */
  get needsEngine(): boolean {
    return this.#needsEngine;
  }

  /** The parts are independent: a firewall that cannot be set must not keep routes from the data plane. */
  async apply(
    { host: wished, datapath, commands }: BackendState,
    { mtu, ranges, subnets, iface, isRemembered }: Situation,
  ): Promise<Outcome> {
    const { host, options, containers } = this.#parts;
    const networks = ranges.map(({ network }) => network);
    const wish: HostWish = { host: wished, networks, subnets, mtu, underlay: iface.name };
    const families = networks.flatMap((network) => {
      const subnet = subnets.find(({ family }) => family === network.family);
      return subnet === undefined ? [] : [{ network, subnet }];
    });
    const ipMasq = options.flags['ip-masq'];
    const problems = this.#problems;
    this.#needsEngine = datapath !== undefined;
    // Before its device goes: else it looks like one that was lost.
    const endDone =
      datapath !== undefined || (await problems.attempt('data plane', () => this.#endDatapath()));
    let linksStand = true;
    const linksDone = await problems.attempt('host', async () => {
      try {
        await host.ensureLinks(wish);
      } catch (error) {
        // What one lease says must not keep this host from the others.
        linksStand = isCode(error, 'host-in-part');
        throw error;
      }
    });
    const [firewallDone, datapathDone, commandsDone] = await Promise.all([
      problems.attempt('firewall', () => host.ensureFirewall(wish)),
      datapath === undefined ||
        problems.attempt('data plane', () => this.#ensureDatapath(datapath, isRemembered)),
      problems.attempt('commands', () => this.#parts.commands.ensure(commands)),
    ]);
    const subnetFile = { families, mtu, ipMasq };
    const fileDone = await problems.attempt('subnet file', () => host.writeSubnetFile(subnetFile));
    if (ipMasq)
      this.#checkForwarding(
        iface.name,
        networks.map(({ family }) => family),
      );
    if (fileDone)
      for (const one of containers) await problems.attempt(one.name, () => one.ensure(subnetFile));
    const stands = linksStand && datapathDone && fileDone && this.#parts.commands.isStarted;
    return { stands, settled: stands && linksDone && endDone && firewallDone && commandsDone };
  }

  async #endDatapath(): Promise<void> {
    await this.#datapath.end();
    // The process id may become another program's.
    this.#parts.host.remember({ enginePid: undefined });
  }

  async #ensureDatapath(state: DatapathState, isRemembered: boolean): Promise<void> {
    await this.#datapath.ensure(state, isRemembered);
    const enginePid = this.#datapath.engine?.hello.pid;
    if (enginePid !== undefined) this.#parts.host.remember({ enginePid });
  }

  /** Answers from outside come in by an interface that is not Corduroy's to change. */
  #checkForwarding(name: string, families: readonly Family[]): void {
    const forwarding = this.#problems.of('forwarding');
    const command = this.#parts.host.forwardingCommand(name, families);
    if (command === undefined) forwarding.clear();
    else
      forwarding.raise(
        `--ip-masq needs forwarding on ${name}, or no answer from outside reaches a container: ${command}`,
      );
  }
}
