import type { StatusDocument } from '../../src/daemon/status.ts';
import { until } from './lab.ts';
import { NspawnHost, type Outcome } from './nspawn.ts';
import { Lan } from './nspawn-lan.ts';
import { installDeb } from './nspawn-package.ts';

/** Whose logs tell why a test has failed. */
const UNITS = ['corduroy*', 'docker', 'init.scope'];

/**
 * Two hosts as users set them up: the package is installed, the first was set up with `corduroy init`, the other joined
 * with the line that it printed. No Docker runs yet.
 */
export class TwoHosts {
  readonly lan: Lan;
  readonly first: NspawnHost;
  readonly second: NspawnHost;
  /** What the package's installation said on the second host. */
  readonly installed: string;
  readonly init: Outcome;
  readonly join: Outcome;

  private constructor(
    ...[lan, first, second, installed, init, join]: [Lan, NspawnHost, NspawnHost, string, Outcome, Outcome]
  ) {
    this.lan = lan;
    this.first = first;
    this.second = second;
    this.installed = installed;
    this.init = init;
    this.join = join;
  }

  /** @param before is called with each host while nothing of Corduroy is on it */
  static async start(before: (host: NspawnHost) => Promise<void> = async () => undefined): Promise<TwoHosts> {
    const lan = await Lan.create();
    const hosts: NspawnHost[] = [];
    try {
      for (const [name, address] of [
        ['one', '192.0.2.11'],
        ['two', '192.0.2.12'],
      ] as const)
        hosts.push(await NspawnHost.start(name, lan, address));
      const [first, second] = hosts as [NspawnHost, NspawnHost];
      const said = await Promise.all(
        hosts.map(async (host) => {
          await before(host);
          return await installDeb(host);
        }),
      );
      const init = await first.attempt('corduroy', 'init', '--network', '10.244.0.0/16');
      const join = await second.attempt(
        'sh',
        '-ec',
        joinLine(init.stdout) ?? 'echo init printed no line >&2; exit 1',
      );
      for (const { code, stderr } of [init, join]) if (code !== 0) throw new Error(stderr);
      return new TwoHosts(lan, first, second, said[1] ?? '', init, join);
    } catch (error) {
      const journals = await Promise.all(hosts.map((host) => host.journal(...UNITS)));
      for (const host of hosts) await host.remove();
      await lan.remove();
      throw new Error(`${String(error)}\n${journals.join('\n')}`);
    }
  }

  get hosts(): readonly [NspawnHost, NspawnHost] {
    return [this.first, this.second];
  }

  /** Waits until both daemons are ready and have nothing to complain of. */
  async healthy(timeout = 20_000): Promise<void> {
    for (const host of this.hosts) {
      let problems = '';
      const well = async () => {
        problems = await problemsOf(host);
        return problems === '';
      };
      await until(`${host.name} is well`, well, timeout).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${problems}`);
      });
    }
  }

  async journals(): Promise<string> {
    return (await Promise.all(this.hosts.map((host) => host.journal(...UNITS)))).join('\n');
  }

  async remove(): Promise<void> {
    for (const host of this.hosts) await host.remove();
    await this.lan.remove();
  }
}

/** The line that `corduroy init` prints for the next host. */
export function joinLine(stdout: string): string | undefined {
  return /^\s*(corduroy join \S+)$/m.exec(stdout)?.[1];
}

/** @throws when the daemon does not answer */
export async function statusOf(host: NspawnHost): Promise<StatusDocument> {
  const { stdout, stderr } = await host.attempt('corduroy', 'status', '--json');
  if (stdout.trim() === '') throw new Error(`${host.name}: corduroy status: ${stderr.trim()}`);
  return JSON.parse(stdout) as StatusDocument;
}

/** Empty on a host that is ready and has none. */
async function problemsOf(host: NspawnHost): Promise<string> {
  try {
    const { ready, problems } = await statusOf(host);
    return ready ? problems.join('; ') : ['not ready', ...problems].join('; ');
  } catch (error) {
    return String(error);
  }
}
