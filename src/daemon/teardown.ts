import { existsSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeOwnConflist } from '../bridge/cni/conflist-file.ts';
import { removeDockerNetwork } from '../bridge/docker/network-look.ts';
import { RUN_FILES, STATE_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { connectDatapath, shutdownDatapath } from '../datapath/client.ts';
import { CorduroyError, isCode, messageOf } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import { hasIpv6 } from '../host/ipv6-forwarding.ts';
import { isRunning } from '../host/is-running.ts';
import { observeHost } from '../host/observe.ts';
import type { Ownership } from '../host/ownership.ts';
import { planRemoval } from '../host/plan.ts';
import { removeFromHost } from '../host/reconcile.ts';
import { leaveCommands } from './command-teardown.ts';
import { daemonRequest } from './control-client.ts';
import { isServed, lockPath } from './control-server.ts';
import { removeFirewalls } from './firewall-keeper.ts';
import { ownershipOf } from './ownership.ts';
import { readHostRecord, removeIfOwn } from './state-file.ts';
import type { StatusDocument } from './status.ts';

/** Milliseconds a daemon may take to stop: a round that waits for etcd has to run into its deadline. */
const STOP_TIMEOUT = 60_000;
/** Milliseconds an engine may take to end by itself. */
const ENGINE_PATIENCE = 2000;

export interface TearDownOptions {
  /** Give the lease back to etcd first; needs a running daemon. */
  readonly release: boolean;
  /** Remove what bears this daemon's marks even when nothing in the run-dir speaks of it. */
  readonly force: boolean;
}

/**
 * Stops the daemon and the data plane of one run-dir and removes everything they made on this host, and only that.
 *
 * @returns what was removed, a phrase each
 */
export async function tearDown(options: Options, { release, force }: TearDownOptions): Promise<string[]> {
  const { runDir, stateDir, names } = options;
  const stateFile = join(runDir, RUN_FILES.state);
  const daemon = await stopDaemon(join(runDir, RUN_FILES.daemonSocket), release);
  const { record, problem } = readHostRecord(stateFile);
  const own = ownershipOf(names, record.networks);
  const known = daemon.length > 0 || existsSync(stateFile);
  if (!known && !force) await requireNothing(own, runDir);

  const { flags } = options;
  const commands = await leaveCommands(join(runDir, RUN_FILES.commands));
  const docker = flags.docker === 'network' ? (await removeDockerNetwork(options)).removed : [];
  const engine = await stopEngine(join(runDir, RUN_FILES.datapathSocket), record.enginePid);
  const host = await removeFromHost(own);
  // A host may lack IPv6, and what its firewall is made with: nothing of that is touched without a reason.
  const isSuspect = record.firewall6 !== undefined || ((force || problem !== undefined) && hasIpv6());
  // Firewalls have most ways to fail: nothing else is left behind for it, but the record of what is still to be done.
  const [firewall] = await Promise.allSettled([removeFirewalls(names, record, isSuspect ? [4, 6] : [4])]);
  const isDone = firewall.status === 'fulfilled';
  const { subnetFile } = record;
  const lock = lockPath(names.linkMark); // Left by a daemon that crashed, unless one with another run-dir has it.
  // The id of a machine without a machine-id is kept with its lease.
  const states = release ? Object.values(STATE_FILES) : [STATE_FILES.network, STATE_FILES.networkUnfinished];
  const files = [
    ...Object.values(RUN_FILES)
      .map((name) => join(runDir, name))
      .filter((path) => isDone || path !== stateFile),
    ...states.map((name) => join(stateDir, name)),
    ...((await isServed(lock)) ? [] : [lock]),
  ];
  const folders = record.folders.flatMap((top) => upTo(dirname(subnetFile?.path ?? top), top));
  const removed = [
    ...daemon,
    ...commands.ran,
    ...docker,
    ...removeOwnConflist(flags),
    ...engine,
    ...host.map((line) => line.replace(/ (delete|dev)\b/g, '')),
    ...(isDone ? firewall.value : []),
    ...(subnetFile !== undefined && removeIfOwn(subnetFile) ? [subnetFile.path] : []),
    ...files.filter(removeFile),
    ...[...folders, ...(known ? [dirname(join(runDir, RUN_FILES.unitSocket)), runDir, stateDir] : [])].filter(
      removeFolder,
    ),
  ];
  const { failures } = commands;
  if (isDone && failures.length === 0) return removed;
  const left = [
    ...(failures.length > 0
      ? [`${failures.join('; ')}: what they have made is left, and they are not run again`]
      : []),
    ...(isDone ? [] : [`the firewall rules are left: ${messageOf(firewall.reason)}`]),
  ];
  const remedy = isDone ? '' : `; then finish with corduroy down${names.commandSuffix}`;
  throw new CorduroyError('host-command', `${left.join('; ')}. All else is removed${remedy}`, {
    ...(!isDone && { cause: firewall.reason }),
  });
}

/** A run-dir that knows nothing is a mistyped one, or another daemon's things stand on this host. */
async function requireNothing(own: Ownership, runDir: string): Promise<void> {
  const lines = planRemoval(await observeHost(own.protocol), own);
  if (lines.length === 0) return;
  throw new CorduroyError(
    'usage',
    `${runDir} knows of no daemon, but this host has what bears its marks (${lines.join('; ')}). Give the --run-dir or ` +
      '--instance it was started with; if the run-dir is lost, remove it with --force',
  );
}

async function stopDaemon(socketPath: string, release: boolean): Promise<string[]> {
  let pid: number;
  try {
    ({ pid } = (await daemonRequest(socketPath, 'GET', '/v1/status')) as StatusDocument);
  } catch (error) {
    // One that hangs is not passed over: it would put back what is removed.
    if (!isCode(error, 'no-daemon')) throw error;
    if (release) {
      const text = `--release needs the running daemon, which knows the lease (corduroy down alone works without): ${error.message}`;
      throw new CorduroyError('no-daemon', text);
    }
    return [];
  }
  await daemonRequest(socketPath, 'POST', release ? '/v1/stop?release=true' : '/v1/stop', STOP_TIMEOUT);
  await untilGone(pid, 'corduroyd');
  return ['the daemon'];
}

/**
 * Ends the data plane that listens on the socket, of whatever version, and one that hangs by its recorded process id.
 * @returns what was ended: nothing when there was none
 * @throws CorduroyError `timeout` when it is still there
 */
export async function stopEngine(socketPath: string, recordedPid: number | undefined): Promise<string[]> {
  // One of another protocol version does not say its pid, and ends all the same.
  const greeted = await unlessGone(connectDatapath(socketPath, { timeoutMs: ENGINE_PATIENCE / 2 }));
  greeted?.close();
  const asked = await unlessGone(
    shutdownDatapath(socketPath, { timeoutMs: ENGINE_PATIENCE }).then(() => true),
  );
  const pid = greeted?.hello.pid ?? recordedPid;
  if (pid === undefined) return asked ? ['the data plane'] : [];
  if (!asked && !isEngine(pid)) return [];
  const deadline = performance.now() + ENGINE_PATIENCE;
  while (isEngine(pid) && performance.now() < deadline) await sleep(20);
  if (isEngine(pid)) process.kill(pid, 'SIGKILL'); // It hangs, or answers to nobody.
  await untilGone(pid, 'the data plane');
  return ['the data plane'];
}

/** @returns `undefined` when no engine answers as it should */
async function unlessGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isCode(error, 'datapath')) return undefined;
    throw error;
  }
}

/** A process id may have been given to another program since it was recorded. */
function isEngine(pid: number): boolean {
  return isRunning(pid) && (readIfThere(`/proc/${pid}/cmdline`) ?? '').includes('corduroy-datapath');
}

async function untilGone(pid: number, name: string): Promise<void> {
  const deadline = performance.now() + STOP_TIMEOUT;
  while (isRunning(pid)) {
    if (performance.now() > deadline) {
      throw new CorduroyError(
        'timeout',
        `${name} (pid ${pid}) has not stopped after ${STOP_TIMEOUT / 1000} s`,
      );
    }
    await sleep(20);
  }
}

/** The folders from `bottom` up to `top`, lowest first. */
function upTo(bottom: string, top: string): string[] {
  return bottom === top || !bottom.startsWith(`${top}/`) ? [top] : [bottom, ...upTo(dirname(bottom), top)];
}

function removeFile(path: string): boolean {
  try {
    rmSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Only when it is empty: what else is in there is not Corduroy's. */
function removeFolder(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTEMPTY', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
