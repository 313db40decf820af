import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { CommandState, OperatorCommand } from '../../../src/backend/backend.ts';
import { CommandKeeper } from '../../../src/daemon/command-keeper.ts';
import { leaveCommands } from '../../../src/daemon/command-teardown.ts';
import { messageOf } from '../../../src/errors.ts';
import * as files from '../../../src/host/atomic-file.ts';
import { RecordedLog } from '../lease/recorded-log.ts';
import { until } from './lone-host.ts';
import { temporaryFolder } from './temporary-folder.ts';

vi.mock('../../../src/host/atomic-file.ts', { spy: true });

const PEERS = '/net/subnets';

/** A host on which commands write down what they were told. */
class CommandHost {
  readonly folder = temporaryFolder();
  readonly log = new RecordedLog();
  readonly path = join(this.folder, 'run', 'commands.json');
  /** The monotonic clock, milliseconds: it stands, unless a test moves it. */
  time = 1000;

  /** A daemon that was just started. */
  keeper(timeout = 2000): CommandKeeper {
    const keeper = new CommandKeeper({ path: this.path, log: this.log, now: () => this.time, timeout });
    onTestFinished(() => keeper.close());
    return keeper;
  }

  /** @param then what the command goes on with */
  command(option: string, name = '', then = 'true'): OperatorCommand {
    const line = `read data; echo "${option} $NAME $data" | sed 's/ *$//' >>${this.folder}/done; ${then}`;
    return { option, line, environment: { NAME: name }, input: `${name && `of ${name}`}\n` };
  }

  wish(peers: readonly string[], over: Partial<CommandState> = {}): CommandState {
    return {
      started: this.command('post'),
      shutdown: this.command('down'),
      peers: new Map(
        peers.map((name) => [
          `${PEERS}/${name}`,
          { added: this.command('add', name), removed: this.command('remove', name) },
        ]),
      ),
      ...over,
    };
  }

  /** What was run since the last time, in order. */
  get done(): string[] {
    const path = join(this.folder, 'done');
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'utf8').trim().split('\n').filter(Boolean);
    writeFileSync(path, '');
    return lines;
  }
}

/** Rounds, until there is nothing to run at once. @returns what was wrong in the last one */
async function settle(
  host: CommandHost,
  keeper: CommandKeeper,
  wish: CommandState | undefined,
): Promise<string | undefined> {
  let problem: string | undefined;
  await until(async () => {
    problem = undefined;
    await keeper.ensure(wish).catch((error: unknown) => {
      problem = messageOf(error);
    });
    return keeper.dueAt >= host.time + 1000;
  }, 10_000);
  return problem;
}

describe("the operator's commands", () => {
  test('are run once each, the own one first, whatever the rounds', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    expect(await settle(host, keeper, host.wish(['b', 'a']))).toBeUndefined();
    expect(host.done).toEqual(['post', 'add b of b', 'add a of a']);
    expect(keeper.isStarted).toBe(true);
    await settle(host, keeper, host.wish(['b', 'a']));
    expect(host.done).toEqual([]);
  });

  test('follow the peers: those that go first, then those that come', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    await settle(host, keeper, host.wish(['a', 'b']));
    expect(host.done).toHaveLength(3);
    await settle(host, keeper, host.wish(['c', 'b']));
    expect(host.done).toEqual(['remove a of a', 'add c of c']);
  });

  test('of a lease that changes: what it was is removed, then it is added anew', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    await settle(host, keeper, host.wish(['a']));
    expect(host.done).toHaveLength(2);
    const changed = { added: host.command('add', 'a2'), removed: host.command('remove', 'a2') };
    const wish = (added: typeof changed) => host.wish([], { peers: new Map([[`${PEERS}/a`, added]]) });
    await settle(host, keeper, wish(changed));
    expect(host.done).toEqual(['remove a of a', 'add a2 of a2']);
    const otherEnd = { ...changed, removed: host.command('take away', 'a2') };
    await settle(host, keeper, wish(otherEnd));
    expect(host.done).toEqual([]);
    await settle(host, keeper, host.wish([]));
    expect(host.done).toEqual(['take away a2 of a2']);
  });

  test('are remembered over a restart: nothing is added twice, and who went meanwhile is removed', async () => {
    const host = new CommandHost();
    const first = host.keeper();
    const pre = host.command('pre', '', 'echo key-1');
    expect(await first.start(pre)).toBe('key-1');
    await settle(host, first, host.wish(['a', 'b']));
    await first.close();
    expect(host.done).toEqual(['pre', 'post', 'add a of a', 'add b of b']);
    expect(statSync(host.path).mode & 0o777).toBe(0o600);

    const next = host.keeper();
    expect(await next.start(pre)).toBe('key-1');
    await settle(host, next, host.wish(['b', 'c']));
    expect(host.done).toEqual(['remove a of a', 'add c of c']);
  });

  test('are forgotten by a reboot, and where the record cannot be read', async () => {
    const host = new CommandHost();
    const first = host.keeper();
    await settle(host, first, host.wish(['a']));
    expect(host.done).toHaveLength(2);
    const record = JSON.parse(readFileSync(host.path, 'utf8'));
    writeFileSync(host.path, JSON.stringify({ ...record, boot: 'another' }));
    await settle(host, host.keeper(), host.wish(['a']));
    expect(host.done).toEqual(['post', 'add a of a']);
    writeFileSync(host.path, '{"version":1,"peers":[]}');
    await settle(host, host.keeper(), host.wish(['a']));
    expect(host.done).toEqual(['post', 'add a of a']);
    expect(host.log.loud.join()).toMatch(/commands.json cannot be understood: commands are run anew/);
  });

  test('that were interrupted are cleaned up before they are run again', async () => {
    const host = new CommandHost();
    const first = host.keeper(1000);
    const slow = { added: host.command('add', 'a', 'sleep 30'), removed: host.command('remove', 'a') };
    const wish = host.wish([], { peers: new Map([[`${PEERS}/a`, slow]]) });
    await first.ensure(wish);
    await until(() => readFileSync(join(host.folder, 'done'), 'utf8').includes('add a'));
    // As if the daemon were gone now: the next one has the record alone.
    expect(host.done).toEqual(['post', 'add a of a']);
    const next = host.keeper(1500);
    await settle(host, next, wish);
    expect(host.done).toEqual(['remove a of a', 'add a of a']);
  });

  test('of a peer that goes before its turn, nothing is taken away', async () => {
    const host = new CommandHost();
    const keeper = host.keeper(60_000);
    const slow = { added: host.command('add', 'a', 'sleep 0.7'), removed: host.command('remove', 'a') };
    const late = { added: host.command('add', 'b'), removed: host.command('remove', 'b', 'false') };
    const peers = { a: [`${PEERS}/a`, slow], b: [`${PEERS}/b`, late] } as const;
    await keeper.ensure(host.wish([], { peers: new Map([peers.a, peers.b]) }));
    expect(await settle(host, keeper, host.wish([], { peers: new Map([peers.a]) }))).toBeUndefined();
    expect(host.done).toEqual(['post', 'add a of a']);
    await settle(host, keeper, host.wish([], { peers: new Map([peers.a, peers.b]) }));
    expect(host.done).toEqual(['add b of b']);
  });

  test('that a daemon had no time for are not on record when it ends', async () => {
    const host = new CommandHost();
    const keeper = host.keeper(60_000);
    const slow = { added: host.command('add', 'a', 'sleep 0.7'), removed: host.command('remove', 'a') };
    await keeper.ensure(host.wish([], { peers: new Map([[`${PEERS}/a`, slow], ...host.wish(['b']).peers]) }));
    await keeper.close();
    expect(Object.keys(JSON.parse(readFileSync(host.path, 'utf8')).peers)).toEqual([`${PEERS}/a`]);
  });

  test('of many peers: the record is written for many at once', async () => {
    const host = new CommandHost();
    const written = vi.mocked(files.writeAtomically);
    written.mockClear();
    const names = Array.from({ length: 20 }, (_, at) => `p${at}`);
    await settle(host, host.keeper(), host.wish(names));
    expect(host.done).toHaveLength(1 + names.length);
    // What is about to begin and what has been done: of the host itself, of the peers, and at the end.
    expect(written.mock.calls.length).toBeLessThanOrEqual(8);
  });

  test('keep no round waiting, and say that the host is not ready', async () => {
    const host = new CommandHost();
    const keeper = host.keeper(60_000);
    const began = performance.now();
    const wish = host.wish(['a'], { started: host.command('post', '', 'sleep 1.5') });
    await keeper.ensure(wish);
    expect(performance.now() - began).toBeLessThan(1200);
    expect(keeper.isStarted).toBe(false);
    expect(keeper.dueAt).toBeLessThan(host.time + 500);
    await settle(host, keeper, wish);
    expect(keeper.isStarted).toBe(true);
    expect(host.done).toEqual(['post', 'add a of a']);
  });
});

describe('a command that fails', () => {
  test('is a problem, keeps no other waiting, and is tried again with growing pauses', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const broken = { added: host.command('add', 'a', 'echo no such device >&2; exit 2') };
    const wish = host.wish([], {
      peers: new Map([
        [`${PEERS}/a`, broken],
        [`${PEERS}/b`, { added: host.command('add', 'b') }],
      ]),
    });
    expect(await settle(host, keeper, wish)).toBe(
      'add for a failed: exit code 2: no such device. Trying again',
    );
    expect(host.done).toEqual(['post', 'add a of a', 'add b of b']);
    const pauses: number[] = [];
    for (let turn = 0; turn < 8; turn += 1) {
      pauses.push((keeper.dueAt - host.time) / 1000);
      host.time = keeper.dueAt;
      await settle(host, keeper, wish);
      expect(host.done).toEqual(['add a of a']);
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    const said = host.log.lines.filter((line) => line.includes('no such device'));
    expect(said.filter((line) => line.startsWith('info'))).toHaveLength(1);
  });

  test('is cleaned up after, before it is tried again', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const once = `[ -e ${host.folder}/was ] || { touch ${host.folder}/was; exit 1; }`;
    const peer = { added: host.command('add', 'a', once), removed: host.command('remove', 'a', 'exit 9') };
    const wish = host.wish([], { peers: new Map([[`${PEERS}/a`, peer]]) });
    expect(await settle(host, keeper, wish)).toMatch(/add for a failed: exit code 1/);
    host.time += 1000;
    expect(await settle(host, keeper, wish)).toBeUndefined();
    expect(host.done).toEqual(['post', 'add a of a', 'remove a of a', 'add a of a']);
  });

  test('with other values is tried at once', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    await settle(host, keeper, host.wish([], { started: host.command('post', '', 'exit 1') }));
    expect(await settle(host, keeper, host.wish(['a']))).toBeUndefined();
    expect(host.done).toEqual(['post', 'post', 'add a of a']);
  });

  test('keeps peers waiting if the host itself is not set up yet', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const wish = host.wish(['a'], { started: host.command('post', '', 'exit 1') });
    expect(await settle(host, keeper, wish)).toMatch(/^post failed: exit code 1/);
    expect(host.done).toEqual(['post']);
    expect(keeper.isStarted).toBe(false);
  });

  test('is given up if it is to remove something, for that may be gone', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const peer = { added: host.command('add', 'a'), removed: host.command('remove', 'a', 'exit 1') };
    await settle(host, keeper, host.wish([], { peers: new Map([[`${PEERS}/a`, peer]]) }));
    expect(host.done).toHaveLength(2);
    for (let turn = 0; turn < 5; turn += 1) {
      await settle(host, keeper, host.wish([]));
      host.time += 60_000;
    }
    expect(host.done).toHaveLength(5);
    expect(await settle(host, keeper, host.wish([]))).toBeUndefined();
    expect(host.done).toEqual([]);
    expect(host.log.loud.at(-1)).toMatch(/remove for a failed: exit code 1\. It is not tried again/);
  });

  test('has a time limit, and its start has, too', async () => {
    const host = new CommandHost();
    const keeper = host.keeper(1000);
    await expect(keeper.start(host.command('pre', '', 'sleep 20'))).rejects.toThrow(
      'pre failed: it had no end after 1 s',
    );
    await expect(keeper.start(host.command('pre', '', 'sleep 20'))).rejects.toThrow('no end');
    expect(host.done).toEqual(['pre']);
  });
});

describe('when the commands are left', () => {
  test('peers are removed before the host is shut down, once', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    await settle(host, keeper, host.wish(['a', 'b']));
    expect(host.done).toHaveLength(3);
    await settle(host, keeper, undefined);
    expect(host.done).toEqual(['remove a of a', 'remove b of b', 'down']);
    await settle(host, keeper, undefined);
    await settle(host, host.keeper(), undefined);
    expect(host.done).toEqual([]);
  });

  test('so they are before another start command is run', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    await keeper.start(host.command('pre', '', 'echo 1'));
    await settle(host, keeper, host.wish(['a']));
    expect(await keeper.start(host.command('pre', '', 'echo 2'))).toBe('2');
    await settle(host, keeper, host.wish(['a']));
    const all = ['pre', 'post', 'add a of a', 'remove a of a', 'down', 'pre', 'post', 'add a of a'];
    expect(host.done).toEqual(all);
  });

  test('a daemon that ends while that waits for a command leaves it to corduroy down', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const slow = host.command('add', 'a', 'sleep 1');
    const peers = new Map([[`${PEERS}/a`, { added: slow, removed: host.command('remove', 'a') }]]);
    await keeper.ensure(host.wish([], { peers }));
    const starting = keeper.start(host.command('pre')).catch(messageOf);
    await keeper.close();
    expect(await starting).toBe('corduroyd ends');
    expect(host.done).toEqual(['post', 'add a of a']);
    const { ran, failures } = await leaveCommands(host.path);
    expect([host.done, ran.length, failures]).toEqual([['remove a of a', 'down'], 2, []]);
  });

  test('corduroy down does so from the record, and names what failed', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const broken = {
      added: host.command('add', 'b'),
      removed: host.command('remove', 'b', 'echo gone; exit 1'),
    };
    const { peers } = host.wish(['a']);
    await settle(host, keeper, host.wish([], { peers: new Map([...peers, [`${PEERS}/b`, broken]]) }));
    await keeper.close();
    expect(host.done).toHaveLength(3);
    expect(await leaveCommands(host.path)).toEqual({
      ran: ['what remove for a takes away', 'what down takes away'],
      failures: ['remove for b failed: exit code 1: gone'],
    });
    expect(host.done).toEqual(['remove a of a', 'remove b of b', 'down']);
    expect(await leaveCommands(host.path)).toEqual({ ran: [], failures: [] });
  });

  test('nothing is on disk where nothing was ever run', async () => {
    const host = new CommandHost();
    await settle(host, host.keeper(), undefined);
    expect(existsSync(host.path)).toBe(false);
  });
});

describe('what a command is told', () => {
  test("is the daemon's environment without its settings", async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const given = {
      CORDUROYD_ETCD_PASSWORD: 'p1',
      FLANNELD_ETCD_PASSWORD: 'p2',
      NOTIFY_SOCKET: 'p3',
      EDITOR_TEST: 'p4',
    };
    Object.assign(process.env, given);
    onTestFinished(() => {
      for (const name of Object.keys(given)) delete process.env[name];
    });
    const printed = await keeper.start({ ...host.command('pre'), line: 'env' });
    expect(printed).toContain('EDITOR_TEST=p4');
    expect(printed).not.toMatch(/p[123]/);
  });

  test('it says is in the log, cut and harmless', async () => {
    const host = new CommandHost();
    const keeper = host.keeper();
    const line = `printf 'a\\033[31mb\\n'; for i in $(seq 30); do echo $i; done; head -c 5000 /dev/zero | tr '\\0' y >&2`;
    await settle(host, keeper, { peers: new Map(), started: { ...host.command('post'), line } });
    expect(host.log.lines).toContain('info: post: a\\u001b[31mb');
    expect(host.log.lines).toContain('info: post: and 12 lines more');
    expect(Math.max(...host.log.lines.map((text) => text.length))).toBeLessThan(300);
  });
});
