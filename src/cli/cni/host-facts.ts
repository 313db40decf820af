import { join } from 'node:path';
import { parseEnv, subnetsIn } from '../../bridge/subnet-env.ts';
import { RUN_FILES } from '../../config/names.ts';
import type { Options } from '../../config/options.ts';
import { daemonRequest } from '../../daemon/control-client.ts';
import type { StatusDocument } from '../../daemon/status.ts';
import { isCode } from '../../errors.ts';
import { readIfThere } from '../../host/atomic-file.ts';
import { Prefix } from '../../net/prefix.ts';

/** What a CNI network takes from this host. */
export interface HostFacts {
  /** Absent while this host has no subnet. */
  readonly lease?: { readonly subnets: readonly Prefix[]; readonly mtu: number };
  /** The network, as the running daemon has it. */
  readonly networks?: readonly Prefix[];
  /** That of the running daemon's `--bridge`, which may be known to it alone. */
  readonly bridge?: string;
}

/** From the daemon; from subnet.env where none runs, or has no lease yet: that is the subnet it asks for. */
export async function hostFacts({ runDir, subnetFile }: Options): Promise<HostFacts> {
  const written = factsIn(readIfThere(subnetFile) ?? '');
  let status: StatusDocument;
  try {
    const socket = join(runDir, RUN_FILES.daemonSocket);
    status = (await daemonRequest(socket, 'GET', '/v1/status')) as StatusDocument;
  } catch (error) {
    if (isCode(error, 'no-daemon')) return written;
    throw error;
  }
  const { lease, mtu, bridge, network } = status;
  return {
    ...written,
    ...(lease &&
      mtu !== undefined && { lease: { subnets: lease.subnets.map((text) => Prefix.parse(text)), mtu } }),
    ...(network && { networks: network.networks.map((text) => Prefix.parse(text)) }),
    ...(bridge !== undefined && { bridge }),
  };
}

function factsIn(subnetEnv: string): HostFacts {
  const subnets = subnetsIn(subnetEnv);
  const mtu = Number(parseEnv(subnetEnv).get('FLANNEL_MTU'));
  return subnets.length > 0 && mtu > 0 ? { lease: { subnets, mtu } } : {};
}
