import { Command } from 'commander';
import { readAddresses, requireNotForeign } from '../../bridge/cni/bridge-address.ts';
import { formatConflist } from '../../bridge/cni/conflist.ts';
import { removeConflist, replaceConflist, requireOwn } from '../../bridge/cni/conflist-file.ts';
import { missingPlugins } from '../../bridge/cni/plugins.ts';
import { type CniSettings, cniSettings, requireSubnetForCni } from '../../bridge/cni/settings.ts';
import { addFlags, givenFlags } from '../../config/command-line.ts';
import { DAEMON_FLAGS } from '../../config/flags.ts';
import { resolveOptions } from '../../config/options.ts';
import { readIfThere } from '../../host/atomic-file.ts';
import { changeSettings } from '../change-settings.ts';
import { optionsOf, print, printJson, requireRoot } from '../context.ts';
import { type HostFacts, hostFacts } from './host-facts.ts';

interface Settings {
  readonly force?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

export function installCommand(): Command {
  const command = new Command('install')
    .description(
      "write a CNI network configuration with this host's subnet, and have corduroyd keep it current",
    )
    .option('--force', 'replace a file that somebody else has written or changed; it is kept as FILE.old')
    .option('--dry-run', 'show what would be written, and change nothing')
    .option('--json', 'print what was done as JSON')
    .addHelpText(
      'after',
      `
The file (default: /etc/cni/net.d/10-corduroy.conflist) is written at once if this host has a subnet, and by corduroyd
whenever subnet or MTU change. The options of CNI become settings of the daemon, in its configuration file. CNI
masquerades nothing: what leaves the network is for corduroyd --ip-masq.
Exit code: 0 it is as wished (perhaps it was already), 1 refused or failed, 2 wrong use.

Examples:
  corduroy cni install
  corduroy cni install --cni-network overlay --cni-bridge cni0
  corduroy cni install --dry-run
`,
    )
    .action(async (settings: Settings) => {
      if (!settings.dryRun) requireRoot('corduroy cni install', 'for files in /etc');
      const options = optionsOf(command);
      const { lease, networks, bridge } = await hostFacts(options);
      const flags = { ...options.flags, ...(bridge !== undefined && { bridge }) };
      requireSubnetForCni(flags);
      const wish = cniSettings(flags);
      if (networks !== undefined && !wish.bridgeIsManaged)
        requireNotForeign(wish, await readAddresses(wish.bridge), networks);
      if (!settings.force) requireOwn(wish);
      const text = lease && formatConflist({ ...wish, ...lease });
      const plugins = missingPlugins();
      const notes = plugins === undefined ? [] : [plugins];
      const outcome = {
        wish,
        lease,
        text,
        changed: text !== undefined && readIfThere(wish.conflist) !== text,
      };
      if (settings.dryRun) return report({ ...outcome, notes }, settings);

      const aside = replaceConflist(wish, text);
      if (aside !== undefined) notes.push(`what was there before is kept as ${aside}`);
      const before = settingBefore(command);
      if (before !== undefined && before !== wish.conflist && removeConflist(before) === 'removed')
        notes.push(`removed ${before}, which was for the same`);
      const { reloaded } = await changeSettings(options, {
        'cni-conflist': wish.conflist,
        'cni-network': options.flags['cni-network'],
        'cni-bridge': options.flags['cni-bridge'],
      });
      if (!reloaded) notes.push('corduroyd does not run here; it keeps the file current when it does');
      return report({ ...outcome, notes }, settings);
    });
  return addFlags(command, ['cni-conflist', 'cni-network', 'cni-bridge', ...DAEMON_FLAGS]);
}

/** Where the conflist is, by the settings alone. */
function settingBefore(command: Command): string | undefined {
  const { 'cni-conflist': _, ...others } = givenFlags(command);
  return resolveOptions(others, process.env).flags['cni-conflist'];
}

interface Outcome {
  readonly wish: CniSettings;
  readonly lease: HostFacts['lease'];
  /** Of the conflist; absent while there is no subnet. */
  readonly text: string | undefined;
  /** Whether the file had another content. */
  readonly changed: boolean;
  readonly notes: readonly string[];
}

function report({ wish, lease, text, changed, notes }: Outcome, { dryRun, json }: Settings): void {
  const { conflist, network, bridge } = wish;
  if (json) {
    printJson({
      schema: 1,
      file: conflist,
      network,
      bridge,
      subnets: lease?.subnets ?? [],
      mtu: lease?.mtu,
      dryRun: dryRun === true,
      changed,
      conflist: text === undefined ? undefined : JSON.parse(text),
      notes,
    });
    return;
  }
  const content = `network ${network}, bridge ${bridge}, ${lease?.subnets.join(' and ')}, MTU ${lease?.mtu}`;
  const verb = dryRun ? 'would write' : 'wrote';
  const says =
    text === undefined
      ? `corduroyd writes ${conflist} when this host has a subnet`
      : changed
        ? `${verb} ${conflist}: ${content}`
        : `${conflist} is as it should be: ${content}`;
  print([says, ...notes.map((note) => `note: ${note}`), ...(dryRun && text ? ['', text] : [])].join('\n'));
}
