import { Command } from 'commander';
import { describeNetwork, networkConfigKey, parseNetworkConfig } from '../../config/network-config.ts';
import { CorduroyError } from '../../errors.ts';
import { readSnapshot, type Snapshot } from '../../lease/administration/snapshot.ts';
import { FORCED_MARK, forcedConfigKey, isForcedConfig } from '../../lease/forced-config.ts';
import type { Condition, Operation, Store } from '../../store/store.ts';
import { print, printJson, withEtcdFlags, withStore } from '../context.ts';
import { checkDocument, DOCUMENT, readDocument } from './document.ts';
import { type Forecast, forecast } from './forecast.ts';

interface Settings {
  readonly force?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

export function setCommand(): Command {
  const command = new Command('set')
    .argument('<document>', 'the network config')
    .description(
      'check a network config, say what it will do, and write it to etcd: running daemons take it up at once',
    )
    .option('--force', 'also if hosts have to change their subnets, and their containers to be restarted')
    .option('--dry-run', 'only say what it would do')
    .option('--json', 'print what it does, and whether it was written, as JSON')
    .addHelpText(
      'after',
      `${DOCUMENT}
Hosts keep their subnets, or the config is refused; with --force each leases another one that fits, and says so until it is
restarted. Containers that run lose the network then: restart them.
Exit code: 0 it is written (perhaps it was before), or would be; 1 refused or failed, 2 wrong use.

Examples:
  corduroy config set '{"Network": "10.5.0.0/16", "Backend": {"Type": "udp"}}'
  corduroy config set @network.json --dry-run
  corduroy config get | sed s/udp/vxlan/ | corduroy config set -
`,
    )
    .action(async (source: string, settings: Settings) => {
      const text = readDocument(source).trim();
      await withStore(command, async (store, prefix) => {
        const change = decideSet(await readSnapshot(store, prefix), text, settings.force === true);
        const said = foretell(change, settings.dryRun === true);
        if (settings.json !== true && said !== '') print(said);
        const isWritten = !change.isRefused && settings.dryRun !== true && (await write(store, change));
        if (settings.json) {
          const { key, lines, losses, isRefused } = change;
          printJson({ schema: 1, key, written: isWritten, refused: isRefused, lines, losses });
        } else if (isWritten) print(change.says);
        if (change.isRefused) throw refusal(source, settings.dryRun === true);
      });
    });
  return withEtcdFlags(command);
}

/** What is to be written, and what it will do. */
interface ConfigChange extends Forecast {
  readonly key: string;
  readonly conditions: readonly Condition[];
  /** None: it stands there already. */
  readonly operations: readonly Operation[];
  /** It takes something away from hosts, and --force is not given. */
  readonly isRefused: boolean;
  /** Of what is done. */
  readonly says: string;
}

/** @throws CorduroyError `network-config` */
export function decideSet({ prefix, cluster }: Snapshot, text: string, force: boolean): ConfigChange {
  const after = checkDocument(text);
  const key = networkConfigKey(prefix);
  const forcedKey = forcedConfigKey(prefix);
  const entry = cluster.entry(key);
  const isSame = entry?.value === text;
  const before = entry && parseNetworkConfig(entry.value).value;
  const foreseen = forecast(before, after, cluster);
  // What stands there unforced (etcdctl writes anything) is not carried out by hosts that would lose something.
  const isInForce = foreseen.losses.length === 0 || isForcedConfig(entry, cluster.entry(forcedKey));
  if (isSame && isInForce)
    return { lines: [], losses: [], key, conditions: [], operations: [], isRefused: false, says: '' };
  const mark: Operation[] = force ? [{ do: 'put', key: forcedKey, value: FORCED_MARK }] : [];
  const did = isSame ? 'wrote again, by force,' : entry ? 'changed' : 'wrote';
  return {
    ...foreseen,
    key,
    conditions: [cluster.asSeen(key)],
    operations: [{ do: 'put', key, value: text }, ...mark],
    isRefused: foreseen.losses.length > 0 && !force,
    says: `${did} ${key}: ${describeNetwork(after)}`,
  };
}

/** Sentences of one kind that are shown: a thousand hosts may lose their subnets. */
const SHOWN = 20;

function foretell({ key, operations, lines, losses }: ConfigChange, isDryRun: boolean): string {
  if (operations.length === 0) return `${key} is the same already`;
  const more = losses.length > SHOWN ? [`and ${losses.length - SHOWN} more`] : [];
  const all = [...lines, ...losses.slice(0, SHOWN), ...more].map((line) => `- ${line}`);
  if (all.length === 0) return isDryRun ? 'no host is affected' : '';
  return ['this will happen:', ...all].join('\n');
}

/** @returns whether anything was to be written. @throws CorduroyError `conflict` */
async function write(store: Store, { key, conditions, operations }: ConfigChange): Promise<boolean> {
  if (operations.length === 0) return false;
  const { succeeded } = await store.transaction(conditions, operations);
  if (succeeded) return true;
  throw new CorduroyError('conflict', `somebody else has just changed ${key}: look at it, and try again`);
}

function refusal(source: string, isDryRun: boolean): CorduroyError {
  const done = isDryRun ? 'it would be refused' : 'nothing was written';
  const argument = source === '-' || source.startsWith('@') ? source : "'…'";
  return new CorduroyError(
    'conflict',
    `hosts would lose what their containers use: ${done}. If that is meant: corduroy config set --force ${argument}`,
  );
}
