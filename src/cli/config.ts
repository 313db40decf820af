import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { checkBackend } from '../backend/registry.ts';
import {
  formatProblem,
  type NetworkConfig,
  networkConfigError,
  networkConfigKey,
  parseNetworkConfig,
} from '../config/network-config.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { subnetCount } from '../ipam/pick-subnet.ts';
import { EXIT, print, printJson, withEtcdFlags, withStore } from './context.ts';

const DOCUMENT = `
DOCUMENT is the JSON itself, @FILE, or - for standard input.`;

export function configCommand(): Command {
  const command = new Command('config')
    .description('the network config in etcd, shared by all hosts')
    .addHelpText('after', '\nExample:\n  corduroy config get');
  command.addCommand(getCommand()).addCommand(setCommand()).addCommand(checkCommand());
  return command;
}

function getCommand(): Command {
  const command = new Command('get')
    .description('print the network config as it stands in etcd')
    .addHelpText(
      'after',
      `
Examples:
  corduroy config get
  corduroy config get --etcd-prefix=/lab
`,
    )
    .option('--json', 'print key, revision and text as JSON')
    .action(async (settings: { json?: true }) => {
      const entry = await withStore(command, (store, prefix) => store.get(networkConfigKey(prefix)));
      if (entry === undefined) {
        throw new CorduroyError(
          'network-config',
          `there is no network config; write one with: corduroy config set '{"Network": "10.5.0.0/16"}'`,
        );
      }
      const { key, value, modRevision } = entry;
      if (settings.json) printJson({ schema: 1, key, modRevision: String(modRevision), value });
      else print(value);
    });
  return withEtcdFlags(command);
}

function setCommand(): Command {
  const command = new Command('set')
    .argument('<document>', 'the network config')
    .description(
      'check a network config and write it to etcd; running daemons take it up at once, if their subnets fit it',
    )
    .addHelpText(
      'after',
      `${DOCUMENT}

Examples:
  corduroy config set '{"Network": "10.5.0.0/16", "Backend": {"Type": "udp"}}'
  corduroy config set @network.json
`,
    )
    .action(async (source: string) => {
      const text = readDocument(source).trim();
      const config = check(text);
      await withStore(command, async (store, prefix) => {
        const key = networkConfigKey(prefix);
        const before = await store.get(key);
        if (before?.value === text) {
          print(`${key} is the same already`);
          return;
        }
        const seen = before
          ? ({ key, is: 'unchanged', modRevision: before.modRevision } as const)
          : ({ key, is: 'absent' } as const);
        const { succeeded } = await store.transaction([seen], [{ do: 'put', key, value: text }]);
        if (!succeeded)
          throw new CorduroyError(
            'conflict',
            `somebody else has just changed ${key}: look at it, and try again`,
          );
        print(`${before ? 'changed' : 'wrote'} ${key}: ${describe(config)}`);
      });
    });
  return withEtcdFlags(command);
}

function checkCommand(): Command {
  return new Command('check')
    .argument('<document>', 'the network config')
    .description('check a network config without writing it')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `${DOCUMENT}
Exit code: 0 it is valid, 1 it is not.

Examples:
  corduroy config check @network.json
  corduroy config get | corduroy config check -
`,
    )
    .action((source: string, settings: { json?: true }) => {
      const text = readDocument(source);
      if (settings.json) {
        const { problems, unknownKeys } = examineConfig(text);
        printJson({
          schema: 1,
          valid: problems.length === 0,
          problems: problems.map(formatProblem),
          unknownKeys,
        });
        if (problems.length > 0) process.exitCode = EXIT.unhealthy;
      } else {
        print(`valid: ${describe(check(text))}`);
      }
    });
}

/** @throws CorduroyError `network-config` naming every rule that is broken; warns about unknown keys */
function check(text: string): NetworkConfig {
  const { config, problems, unknownKeys } = examineConfig(text);
  if (unknownKeys.length > 0)
    process.stderr.write(`corduroy: ignored, since they mean nothing here: ${unknownKeys.join(', ')}\n`);
  if (config === undefined || problems.length > 0) throw networkConfigError('the network config', problems);
  return config;
}

/** What is wrong with a document, as far as the network and its backend are concerned. */
export function examineConfig(text: string) {
  const { value: config, problems, unknownKeys } = parseNetworkConfig(text);
  if (config === undefined) return { config, problems, unknownKeys };
  const backend = checkBackend(config);
  return { config, problems: backend.problems, unknownKeys: [...unknownKeys, ...backend.unknownKeys] };
}

function describe({ ranges, backend }: NetworkConfig): string {
  const parts = ranges.map(
    (range) =>
      `${range.network}: ${subnetCount(range)} subnets of /${range.subnetLen}, ${range.subnetMin} to ${range.subnetMax}`,
  );
  return `${parts.join('; ')}; backend ${backend.type}`;
}

function readDocument(source: string): string {
  const path = source === '-' ? 0 : source.startsWith('@') ? source.slice(1) : undefined;
  if (path === undefined) return source;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CorduroyError('usage', `${source} cannot be read: ${messageOf(error)}`);
  }
}
