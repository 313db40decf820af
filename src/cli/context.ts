import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { addFlags, givenFlags } from '../config/command-line.ts';
import { etcdAccess, etcdPrefix } from '../config/etcd.ts';
import { DAEMON_FLAGS, ETCD_FLAGS } from '../config/flags.ts';
import { hideSecrets } from '../config/hide-secrets.ts';
import { namesFor, RUN_FILES } from '../config/names.ts';
import { type Options, resolveOptions } from '../config/options.ts';
import { CorduroyError, messageOf } from '../errors.ts';
import { openEtcdStore } from '../store/etcd/etcd-store.ts';
import type { Store } from '../store/store.ts';

/** Exit codes of every command; `corduroy --help` lists them. */
export const EXIT = { ok: 0, unhealthy: 1, usage: 2, noDaemon: 3, timeout: 4 } as const;

export function withDaemonFlags(command: Command): Command {
  return addFlags(command, DAEMON_FLAGS);
}

export function withEtcdFlags(command: Command): Command {
  return addFlags(command, [...ETCD_FLAGS, ...DAEMON_FLAGS]);
}

/** The settings a daemon started in this environment would have, as far as the command's flags do not say otherwise. */
export function optionsOf(command: Command): Options {
  const given = givenFlags(command);
  hideSecrets(given);
  const options = resolveOptions(given, process.env);
  for (const warning of options.warnings) warn(warning);
  return options;
}

/** A daemon of this host, as far as the settings tell. */
export interface DaemonOfHost {
  /** Its control socket. */
  readonly socket: string;
  /** What is wrong with the settings: a daemon that runs goes on with those it has. */
  readonly fault?: string;
}

/** Also where the settings are what is wrong, if a daemon is there. @throws CorduroyError `usage` if none is */
export function daemonOf(command: Command): DaemonOfHost {
  try {
    return { socket: join(optionsOf(command).runDir, RUN_FILES.daemonSocket) };
  } catch (error) {
    const given = givenFlags(command);
    const textOf = (name: 'run-dir' | 'instance', variable: string) =>
      given[name]?.at(-1) ?? process.env[variable];
    const instance = textOf('instance', 'CORDUROYD_INSTANCE') ?? '';
    const socket = join(
      textOf('run-dir', 'CORDUROYD_RUN_DIR') ?? namesFor(instance).runDir,
      RUN_FILES.daemonSocket,
    );
    if (existsSync(socket)) return { socket, fault: messageOf(error) };
    throw error;
  }
}

/** Runs one task with a store, and closes it whatever happens. */
export async function withStore<T>(
  command: Command,
  task: (store: Store, prefix: string) => Promise<T>,
): Promise<T> {
  const { flags } = optionsOf(command);
  const store = openEtcdStore(etcdAccess(flags, { info: () => undefined, warn }));
  try {
    return await task(store, etcdPrefix(flags));
  } finally {
    await store.close();
  }
}

/** @throws CorduroyError `usage` */
export function requireRoot(command: string, why = 'for devices and network namespaces'): void {
  if (process.getuid?.() === 0) return;
  throw new CorduroyError('usage', `${command} needs root, ${why}: run it with sudo`);
}

function warn(message: string): void {
  process.stderr.write(`corduroy: ${message}\n`);
}

/** For people, beside what is printed: scripts read standard output. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}
