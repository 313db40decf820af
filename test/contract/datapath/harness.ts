import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { canUseNamespaces, type Probe } from '../../support/netns.ts';
import { BUILT, DATAPATH } from '../../support/programs.ts';

/** What the contract suite needs to know of an engine. */
export interface EngineHarness {
  /** As in HELLO. */
  readonly engine: string;
  /** The command that starts it, for a TUN device that exists. The process it starts becomes the engine. */
  command(tunName: string, socketPath: string): readonly [string, ...string[]];
  /** Whether it can be run here. */
  probe(): Probe;
  /** How many queues it is started with, if more than one: then its device needs several too. */
  readonly queues?: number;
}

export const DIST = BUILT;
export const DATAPATH_PROGRAM = DATAPATH;
export const DGRAM_PROGRAM = join(DIST, 'corduroy-datapath-dgram.js');

export const dgramHarness: EngineHarness = {
  engine: 'dgram',
  command: (tunName, socketPath) => [
    DATAPATH_PROGRAM,
    'tun-exec',
    tunName,
    '--listen',
    socketPath,
    '--vnet-hdr',
    '--',
    process.execPath,
    DGRAM_PROGRAM,
  ],
  probe: () => firstObstacle(canUseNamespaces(), isBuilt(DATAPATH_PROGRAM), isBuilt(DGRAM_PROGRAM)),
};

export const nativeHarness: EngineHarness = {
  engine: 'native',
  command: (tunName, socketPath) => [DATAPATH_PROGRAM, 'run', tunName, '--listen', socketPath],
  probe: () => firstObstacle(canUseNamespaces(), isBuilt(DATAPATH_PROGRAM)),
};

/** With several queues, which only this engine has. */
export function nativeHarnessOf(queues: number): EngineHarness {
  return {
    ...nativeHarness,
    queues,
    command: (tunName, socketPath) => [
      ...nativeHarness.command(tunName, socketPath),
      '--queues',
      String(queues),
    ],
  };
}

export function firstObstacle(...probes: readonly Probe[]): Probe {
  return probes.find((probe) => !probe.ok) ?? { ok: true };
}

/** A program that is older than its sources would let a test pass or fail for yesterday's reasons: that throws. */
export function isBuilt(program: string): Probe {
  if (!existsSync(program)) return { ok: false, reason: `needs ${program}: make build` };
  const suffix = program.endsWith('.js') ? '.ts' : /\.[ch]$/;
  const sources = ['src/datapath', 'src/net', 'src/wire'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => (typeof suffix === 'string' ? path.endsWith(suffix) : suffix.test(path)))
      .map((path) => join(folder, path)),
  );
  const built = statSync(program).mtimeMs;
  const newer = sources.find((source) => statSync(source).mtimeMs > built);
  if (newer !== undefined) throw new Error(`${program} is older than ${newer}: make build`);
  return { ok: true };
}
