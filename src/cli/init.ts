import { join } from 'node:path';
import { Command } from 'commander';
import { RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { type Administrator, authorityOf, withAdministrator } from '../enroll/administrator.ts';
import { EtcdByHand, etcdUnderSystemd } from '../enroll/etcd-service.ts';
import { enableForwarding } from '../enroll/forwarding.ts';
import { foundEtcd } from '../enroll/found.ts';
import { membershipOf, writeHostFiles } from '../enroll/host-files.ts';
import { issueToken } from '../enroll/issue.ts';
import type { FounderLayout } from '../enroll/layout.ts';
import { ensureNetwork, networkDocument } from '../enroll/network.ts';
import { startDaemon } from '../enroll/start-daemon.ts';
import { listTokens, sweepTokens } from '../enroll/tokens.ts';
import { HOST_USER } from '../enroll/users.ts';
import { CorduroyError } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import { note, optionsOf, requireRoot, withDaemonFlags } from './context.ts';
import { founderFiles, leaveCluster, withSetUpOptions } from './enrolled-host.ts';
import { planFounding } from './init/plan-founding.ts';
import { etcdCommand, reportFounded, reportWaiting } from './init/report.ts';
import { ttlOption } from './token-ttl.ts';

interface Settings {
  readonly network: string;
  readonly backend: string;
  readonly address?: string;
  readonly tokenTtl: number;
  readonly renew?: true;
  readonly start: boolean;
  readonly force?: true;
  readonly timeout: number;
  readonly json?: true;
}

/** Whether the user gave an option, rather than leave it at its default. */
type IsGiven = (name: keyof Settings) => boolean;

export function initCommand(): Command {
  const command = new Command('init')
    .description(
      'make this machine the first host of a network: etcd, network config, daemon, and a join token',
    )
    .option('--network <CIDR>', 'the range that all subnets are taken from', '10.244.0.0/16')
    .option('--backend <TYPE>', 'how packets travel between hosts', 'udp')
    .option(
      '--address <IP>',
      'of this host, by which the others reach it (default: the one that corduroy iface explain chooses)',
    )
    .addOption(ttlOption('--token-ttl'))
    .option('--renew', 'issue a new certificate for etcd, also for another --address')
    .option('--no-start', 'start nothing: say how to, and go on when this is run again')
    .addHelpText(
      'after',
      `
Sets up an etcd of one member as corduroy-etcd.service, with TLS and users, and prints the line that makes another
machine a host. Needs Debian's etcd-server, and openssl. Run again, it mends what is missing and says what stands; it
makes another token only when none is left that leads to this etcd, or with --token-ttl.
Exit code: 0 the host is ready, 1 refused or failed, 2 wrong use, 4 it is not ready yet.

Examples:
  corduroy init
  corduroy init --network 10.5.0.0/16 --address 192.168.56.11
  corduroy config set --config-file=/etc/corduroy/admin.json '{"Network": "10.5.0.0/16"}'   # as administrator, later
  corduroy init --renew --address 192.168.56.12    # etcd moves; then, on every other host, corduroy join again
`,
    )
    .action(async (settings: Settings) => {
      requireRoot('corduroy init', 'to set up services');
      const isGiven: IsGiven = (name) => command.getOptionValueSource(name) === 'cli';
      await init(optionsOf(command), settings, isGiven);
    });
  return withDaemonFlags(withSetUpOptions(command));
}

async function init(options: Options, settings: Settings, isGiven: IsGiven): Promise<void> {
  const layout = founderFiles(options);
  const founding = await planFounding(options, settings, layout);
  const document = networkDocument(settings.network, settings.backend, founding.address);
  const membership = membershipOf(layout, options.flags, authorityOf(layout)?.fingerprint256);
  if (membership.in === 'other') {
    if (!settings.force) throw elsewhere(membership.endpoints);
    await leaveCluster(options, layout);
  }

  const byHand = new EtcdByHand(layout);
  const service = settings.start ? etcdUnderSystemd(`${founding.address}:${founding.port}`, note) : byHand;
  const json = settings.json === true;
  if (!(await foundEtcd(founding, service))) return reportWaiting(etcdCommand(layout), json);

  const founded = await withAdministrator(layout, async (administrator) => {
    const { store, endpoints, prefix } = administrator;
    const networks = await ensureNetwork(
      store,
      prefix,
      document,
      isGiven('network') || isGiven('backend'),
      note,
    );
    becomeHost(administrator, layout, settings.address);
    await sweepTokens(administrator);
    const earlier = (await listTokens(administrator)).at(-1);
    const wanted = earlier === undefined || isGiven('tokenTtl');
    const token = wanted ? await issueToken(administrator, layout, settings.tokenTtl) : undefined;
    return { endpoints, networks, earlier, token };
  });
  if (settings.start) enableForwarding(layout, note);
  const status = settings.start ? await start(options, settings.timeout) : undefined;
  const commands = settings.start ? [] : commandsByHand(options, layout, byHand.needsRestart);
  reportFounded({ ...founded, status, commands }, json);
}

/** This host logs in as every other does. */
function becomeHost(
  { endpoints, prefix }: Administrator,
  layout: FounderLayout,
  iface: string | undefined,
): void {
  writeHostFiles(layout, {
    ca: readIfThere(layout.ca) ?? '',
    endpoints,
    prefix,
    username: HOST_USER,
    password: readIfThere(layout.passwordFile)?.trim() ?? '',
    iface,
  });
}

async function start({ flags, runDir }: Options, timeout: number) {
  note('starting corduroyd');
  const socketPath = join(runDir, RUN_FILES.daemonSocket);
  return await startDaemon({ instance: flags.instance, socketPath, timeout, say: note });
}

function commandsByHand({ flags }: Options, layout: FounderLayout, restartEtcd: boolean): string[] {
  const file = flags['config-file'] === undefined ? '' : ` --config-file=${layout.configFile}`;
  return [
    ...(restartEtcd ? [`${etcdCommand(layout)}    # once the one that runs has ended`] : []),
    `corduroyd${file}`,
  ];
}

function elsewhere(endpoints: readonly string[]): CorduroyError {
  return new CorduroyError(
    'usage',
    `this host is in a cluster already, whose etcd, at ${endpoints.join(', ')}, was not set up by corduroy init here: ` +
      'with --force it leaves that one, gets another subnet, and its containers have to be restarted',
  );
}
