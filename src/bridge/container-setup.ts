import type { SubnetEnv } from './subnet-env.ts';

/** Something on this host that configures containers, and is kept in step with the lease: Docker, CNI. */
export interface ContainerSetup {
  /** Names it in health lines and in the log. */
  readonly name: 'docker' | 'cni' | 'foreign rules' | 'ipv6 routers';
  /**
   * Brings it about, or finds that only somebody else can. Called with every round: costs next to nothing while nothing
   * has changed. A host is ready without it, as what it waits for may itself wait for the host.
   *
   * @throws CorduroyError saying what differs, and the command that mends it
   */
  ensure(subnet: SubnetEnv): Promise<void>;
  /** Milliseconds until it wants to be called again, while it waits for what nothing tells of; else absent or infinite. */
  readonly dueIn?: number;
}
