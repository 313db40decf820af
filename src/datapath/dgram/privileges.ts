import { readFileSync } from 'node:fs';
import { CorduroyError } from '../../errors.ts';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** In order of preference. `nobody` is shared with others, so a user of its own is better. */
const ACCOUNTS = ['corduroy', 'nobody'];

/** The account to become, by the text of /etc/passwd. An account of uid or gid 0 is no choice. */
export function unprivilegedAccount(passwd: string): Account | undefined {
  const accounts = passwd.split('\n').flatMap((line): Account[] => {
    const [name = '', , uid = '', gid = ''] = line.split(':');
    if (!/^[1-9]\d*$/.test(uid) || !/^[1-9]\d*$/.test(gid)) return [];
    return [{ name, uid: Number(uid), gid: Number(gid) }];
  });
  return ACCOUNTS.flatMap((name) => accounts.find((account) => account.name === name) ?? []).at(0);
}

/**
 * Gives up root for good: no supplementary groups, another group and user, and with the user every capability
 * (capabilities(7): all sets are cleared when no uid is 0 any more). Every module must have been loaded by then, for
 * that user may not be able to read the program's files. Says what it did.
 *
 * @throws CorduroyError `datapath` when the process would stay root
 */
export function dropPrivileges(): string {
  const { getuid, geteuid, setgroups, setgid, setuid } = process;
  if (!getuid || !geteuid || !setgroups || !setgid || !setuid) {
    throw new CorduroyError('datapath', 'this system has no user ids: run the data plane on Linux');
  }
  if (getuid() !== 0 && geteuid() !== 0) return `runs as uid ${getuid()}, without root from the start`;
  const account = unprivilegedAccount(readFileSync('/etc/passwd', 'utf8'));
  if (account === undefined) {
    throw new CorduroyError(
      'datapath',
      `/etc/passwd has none of the users ${ACCOUNTS.join(', ')}, and the data plane will not run as root: ` +
        'make one with `useradd --system corduroy`',
    );
  }
  setgroups([]);
  setgid(account.gid);
  setuid(account.uid);
  if (canBeRootAgain(setuid)) {
    throw new CorduroyError(
      'datapath',
      'the process could become root again after setuid: start it with corduroy-datapath tun-exec',
    );
  }
  return `runs as ${account.name} (uid ${account.uid}, gid ${account.gid}), with no capabilities`;
}

function canBeRootAgain(setuid: (uid: number) => void): boolean {
  try {
    setuid(0);
    return true;
  } catch {
    return false; // EPERM, as it should be.
  }
}
