import { existsSync } from 'node:fs';
import { CorduroyError, isCode } from '../errors.ts';
import { run } from '../host/exec.ts';
import { withAdministrator } from './administrator.ts';
import type { Owner } from './certificates.ts';
import type { EtcdService } from './found.ts';
import type { FounderLayout } from './layout.ts';
import { ETCD_UNIT, enableAndStart, restart, runsSystemd, unitState } from './units.ts';

const ETCD_PROGRAM = '/usr/bin/etcd';
const ETCD_USER = 'etcd';

/** @throws CorduroyError `usage` naming the package to install */
export function requireEtcd(): void {
  if (existsSync(ETCD_PROGRAM)) return;
  throw new CorduroyError('usage', `there is no ${ETCD_PROGRAM}: apt-get install etcd-server`);
}

/** Who Debian's package has etcd run as. */
export async function etcdOwner(): Promise<Owner | undefined> {
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (which) => {
      const { code, stdout } = await run('id', [which, ETCD_USER], { allowFailure: true });
      return code === 0 ? Number(stdout) : undefined;
    }),
  );
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** @param address `HOST:PORT` that it listens on */
export function etcdUnderSystemd(address: string, say: (line: string) => void): EtcdService {
  return {
    ensureRuns: async (configChanged) => {
      const { active } = await unitState(ETCD_UNIT);
      if (active !== 'active') {
        say(`starting etcd at ${address}`);
        await enableAndStart(ETCD_UNIT);
      } else if (configChanged) {
        await restart(ETCD_UNIT);
      }
      return true;
    },
    restart: () => restart(ETCD_UNIT),
  };
}

/** For who does not know how it was started. @param say told when somebody has to restart it */
export function etcdAsItRuns(say: (line: string) => void): Pick<EtcdService, 'restart'> {
  return {
    restart: async () => {
      if (runsSystemd() && (await unitState(ETCD_UNIT)).active === 'active') return await restart(ETCD_UNIT);
      say('restart etcd now: until then a host that is connected goes on being told of all leases');
    },
  };
}

/** Where somebody else starts it, by the commands that are printed. */
export class EtcdByHand implements EtcdService {
  /** It has to be restarted before anybody else is let in. */
  needsRestart = false;
  readonly #layout: FounderLayout;

  constructor(layout: FounderLayout) {
    this.#layout = layout;
  }

  async ensureRuns(configChanged: boolean): Promise<boolean> {
    this.needsRestart = configChanged;
    try {
      await withAdministrator(this.#layout, ({ store }) => store.get('/'));
      return true;
    } catch (error) {
      if (isCode(error, 'store-unavailable')) return false;
      if (isCode(error, 'store-denied')) return true; // `establish` says what that means.
      throw error;
    }
  }

  async restart(): Promise<void> {
    this.needsRestart = true;
  }
}
