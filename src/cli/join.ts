import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { enableForwarding } from '../enroll/forwarding.ts';
import { membershipOf, writeHostFiles } from '../enroll/host-files.ts';
import { fetchEnrolment } from '../enroll/join.ts';
import { hostLayout } from '../enroll/layout.ts';
import { startDaemon } from '../enroll/start-daemon.ts';
import { parseToken } from '../enroll/token.ts';
import { daemonUnit, requireUnits } from '../enroll/units.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { note, optionsOf, print, printJson, requireRoot, withDaemonFlags } from './context.ts';
import { founderFiles, leaveCluster, requireDefaultFiles, withSetUpOptions } from './enrolled-host.ts';

interface Settings {
  readonly tokenFile?: string;
  readonly start: boolean;
  readonly force?: true;
  readonly timeout: number;
  readonly json?: true;
}

export function joinCommand(): Command {
  const command = new Command('join')
    .argument(
      '[token]',
      'as corduroy init or corduroy token create printed it; - reads it from standard input',
    )
    .description('make this machine a host of the network that a token is of, and start its daemon')
    .option('--token-file <FILE>', 'read the token from a file')
    .option('--no-start', 'write the files only, and say how to start the daemon')
    .addHelpText(
      'after',
      `
The token pins the CA of the cluster's etcd: whoever answers in its place is told nothing. A token on the command line
can be read by every user of this host for a moment, and sudo logs it; from a file or standard input neither happens.
Run again, it renews what this host knows, say after corduroy token rotate --hosts.
Exit code: 0 the host is ready, 1 refused or failed, 2 wrong use, 4 it is not ready yet.

Examples:
  corduroy join cdy1.WHAT-THE-FIRST-HOST-PRINTED
  corduroy join --token-file /root/token
  ssh root@first corduroy token create --ttl 1h | corduroy join -
`,
    )
    .action(async (argument: string | undefined, settings: Settings) => {
      const token = parseToken(readToken(argument, settings.tokenFile));
      hideArgument(argument);
      requireRoot('corduroy join', "to write the daemon's settings");
      const options = optionsOf(command);
      const { instance } = options.flags;
      const layout = hostLayout(options.flags['config-file'] ?? options.names.configFile, instance);
      if (settings.start) {
        requireDefaultFiles(options);
        await requireUnits([daemonUnit(instance)]);
      }
      const membership = membershipOf(layout, options.flags, token.caFingerprint);
      if (membership.in === 'other') requireLeave(membership.endpoints, settings, options);
      note(`asking etcd at ${token.addresses.join(', ')}`);
      const enrolment = await fetchEnrolment(token);
      if (membership.in === 'other') await leaveCluster(options, layout);
      writeHostFiles(layout, enrolment);
      if (settings.start) {
        enableForwarding(layout, note);
        await startAndReport(options, settings);
      } else reportFiles(options, layout.configFile, settings);
    });
  return withDaemonFlags(withSetUpOptions(command));
}

async function startAndReport(options: Options, { timeout, json }: Settings): Promise<void> {
  note('starting corduroyd');
  const status = await startDaemon({
    instance: options.flags.instance,
    socketPath: join(options.runDir, RUN_FILES.daemonSocket),
    timeout,
    say: note,
  });
  const subnets = status.lease?.subnets ?? [];
  const peers = status.peers.map(({ name, publicIp, subnets: theirs }) => ({
    name,
    publicIp,
    subnets: theirs,
  }));
  if (json) return printJson({ schema: 1, started: true, subnets, peers });
  const others = peers.map(
    ({ name, publicIp, subnets: theirs }) => `${name ?? publicIp} (${theirs.join(' ')})`,
  );
  print(
    `this host has ${subnets.join(' ')}; it knows ${others.length === 0 ? 'no others yet' : others.join(', ')}`,
  );
}

function reportFiles({ flags }: Options, configFile: string, { json }: Settings): void {
  const instance = flags.instance === '' ? '' : ` --instance=${flags.instance}`;
  const file = flags['config-file'] === undefined ? '' : ` --config-file=${configFile}`;
  const command = `corduroyd${instance}${file}`;
  if (json) printJson({ schema: 1, started: false, command });
  else print(`wrote ${configFile}; start the daemon: ${command}`);
}

/** @throws CorduroyError `usage` when there is none, or two */
function readToken(argument: string | undefined, file: string | undefined): string {
  if ((argument === undefined) === (file === undefined)) {
    throw new CorduroyError(
      'usage',
      'give one join token, as an argument or with --token-file; corduroy token create on the first host prints one',
    );
  }
  if (argument !== undefined && argument !== '-') return argument;
  const source = file === undefined || file === '-' ? 0 : file;
  try {
    return readFileSync(source, 'utf8');
  } catch (error) {
    throw new CorduroyError('usage', `the join token cannot be read: ${messageOf(error)}`);
  }
}

/** As config/hide-secrets.ts does with passwords. */
function hideArgument(argument: string | undefined): void {
  if (argument === undefined || argument === '-') return;
  process.title = 'corduroy join ***';
  note(
    'the token could be read by every user of this host for a moment, and may stand in the history of your shell and, ' +
      'with sudo, in the journal; --token-file avoids that',
  );
}

/** @throws CorduroyError `usage` where this host may not, or shall not, leave the cluster that it is in */
function requireLeave(endpoints: readonly string[], { force }: Settings, options: Options): void {
  const { adminFile, etcdData } = founderFiles(options);
  if (options.flags.instance === '' && existsSync(adminFile)) {
    throw new CorduroyError(
      'usage',
      'this host keeps the etcd of a cluster of its own. To give that up, with all that its other hosts have of it: corduroy ' +
        `down; systemctl disable --now corduroyd corduroy-etcd; and move ${dirname(adminFile)} and ${etcdData} away`,
    );
  }
  if (force) return;
  throw new CorduroyError(
    'usage',
    `this host is in another cluster already, whose etcd is at ${endpoints.join(', ')}: with --force it leaves that one, ` +
      'gets another subnet, and its containers have to be restarted',
  );
}
