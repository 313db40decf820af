import type { FlagValues } from '../../config/flags.ts';
import { namesFor } from '../../config/names.ts';
import { CorduroyError } from '../../errors.ts';

/** The CNI network that the settings ask for, or would ask for with `--cni-conflist`. */
export interface CniSettings {
  readonly conflist: string;
  /** What containers name it by. */
  readonly network: string;
  readonly bridge: string;
  /** The bridge is that of `--bridge`: the daemon makes it and keeps its address right. */
  readonly bridgeIsManaged: boolean;
  /** Ends the commands that messages name. */
  readonly commandSuffix: string;
}

type Flags = Pick<
  FlagValues,
  'cni-conflist' | 'cni-network' | 'cni-bridge' | 'bridge' | 'instance' | 'docker'
>;

export function cniSettings(flags: Flags): CniSettings {
  const { instance } = flags;
  const suffix = instance === '' ? '' : `-${instance}`;
  const bridge = flags['cni-bridge'] ?? flags.bridge ?? (instance === '' ? 'corduroy-cni' : `cni${suffix}`);
  return {
    conflist: flags['cni-conflist'] ?? `/etc/cni/net.d/10-corduroy${suffix}.conflist`,
    network: flags['cni-network'] ?? `corduroy${suffix}`,
    bridge,
    bridgeIsManaged: bridge === flags.bridge,
    commandSuffix: namesFor(instance).commandSuffix,
  };
}

/**
 * Of two bridges with one subnet, and one gateway address, only one is reached by the other hosts.
 * @throws CorduroyError `usage`
 */
export function requireSubnetForCni(flags: Flags): void {
  const { commandSuffix } = namesFor(flags.instance);
  if (flags.docker !== 'off') {
    throw new CorduroyError(
      'usage',
      `Docker has this host's subnet (--docker=${flags.docker}), which CNI cannot have too. Give it up for one of them: ` +
        `corduroy docker unconfigure${commandSuffix}, or corduroy cni remove${commandSuffix}`,
    );
  }
  const bridge = flags['cni-bridge'];
  if (flags.bridge !== undefined && bridge !== undefined && bridge !== flags.bridge) {
    throw new CorduroyError(
      'usage',
      `the bridge of --bridge, ${flags.bridge}, has this host's subnet, which that of --cni-bridge, ${bridge}, cannot have ` +
        'too: drop one of the two flags',
    );
  }
}
