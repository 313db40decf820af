import { rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROUTE_PROTOCOL, RUN_FILES } from '../config/names.ts';
import type { Options } from '../config/options.ts';
import { connectDatapath } from '../datapath/client.ts';
import type { Datapath } from '../datapath/datapath.ts';
import { CorduroyError, isCode } from '../errors.ts';
import { removeFirewall } from '../host/firewall.ts';
import { removeFromHost } from '../host/reconcile.ts';
import { daemonRequest } from './control-client.ts';
import { isRunning } from './is-running.ts';
import { readHostRecord } from './state-file.ts';
import type { StatusDocument } from './status.ts';

/** Milliseconds a daemon may take to stop: a round that waits for etcd has to run into its deadline. */
const STOP_TIMEOUT = 30_000;

/**
 * Stops the daemon and the data plane of one run-dir and removes everything they made on this host, and only that.
 *
 * @param release give the lease back to etcd first; needs a running daemon
 * @returns what was removed, a phrase each
 */
export async function tearDown(options: Options, release: boolean): Promise<string[]> {
  const { runDir, names } = options;
  const daemon = await stopDaemon(join(runDir, RUN_FILES.daemonSocket), release);
  const { record } = readHostRecord(join(runDir, RUN_FILES.state));
  const engine = await stopEngine(join(runDir, RUN_FILES.datapathSocket));
  const own = {
    mark: names.linkMark,
    tun: names.tun,
    protocol: ROUTE_PROTOCOL,
    blackholes: record.blackholes,
  };
  const host = await removeFromHost(own);
  const firewall = await removeFirewall(
    { table: names.nftTable, chain: names.iptablesChain },
    record.firewall,
  );
  const files = [
    ...(record.subnetFile === undefined ? [] : [record.subnetFile]),
    ...Object.values(RUN_FILES).map((name) => join(runDir, name)),
  ].filter(removeFile);
  const folders = [
    ...record.folders.flatMap((top) => upTo(dirname(record.subnetFile ?? top), top)),
    runDir,
  ].filter(removeFolder);
  return [
    ...daemon,
    ...engine,
    ...host.map((line) => line.replace(/ (delete|dev)\b/g, '')),
    ...firewall,
    ...files,
    ...folders,
  ];
}

async function stopDaemon(socketPath: string, release: boolean): Promise<string[]> {
  let pid: number;
  try {
    ({ pid } = (await daemonRequest(socketPath, 'GET', '/v1/status')) as StatusDocument);
  } catch (error) {
    if (!isCode(error, 'no-daemon')) throw error;
    if (release) {
      const text = `--release needs the running daemon, which knows the lease: ${error.message}`;
      throw new CorduroyError('no-daemon', text);
    }
    return [];
  }
  await daemonRequest(socketPath, 'POST', release ? '/v1/stop?release=true' : '/v1/stop');
  await untilGone(pid, 'corduroyd');
  return ['the daemon'];
}

async function stopEngine(socketPath: string): Promise<string[]> {
  let engine: Datapath;
  try {
    engine = await connectDatapath(socketPath);
  } catch (error) {
    // None answers: if one is there all the same, deleting its device ends it.
    if (isCode(error, 'datapath')) return [];
    throw error;
  }
  await engine.shutdown();
  await untilGone(engine.hello.pid, 'the data plane');
  return ['the data plane'];
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
