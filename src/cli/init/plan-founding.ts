import { hostname } from 'node:os';
import type { Options } from '../../config/options.ts';
import { interfaceWishes } from '../../daemon/interface-keeper.ts';
import { addressIn, ETCD_PORT } from '../../enroll/etcd-config.ts';
import { etcdOwner, requireEtcd } from '../../enroll/etcd-service.ts';
import type { Founding } from '../../enroll/found.ts';
import type { FounderLayout } from '../../enroll/layout.ts';
import { requireFreePort } from '../../enroll/port-holder.ts';
import { daemonUnit, ETCD_UNIT, requireUnits, unitState } from '../../enroll/units.ts';
import { CorduroyError } from '../../errors.ts';
import { readIfThere } from '../../host/atomic-file.ts';
import { run } from '../../host/exec.ts';
import { chooseInterface, readHostNetwork } from '../../host/interfaces.ts';
import { note } from '../context.ts';
import { requireDefaultFiles } from '../enrolled-host.ts';

export interface FoundingWishes {
  readonly address?: string;
  readonly renew?: true;
  /** Under systemd; else somebody starts it by hand. */
  readonly start: boolean;
}

/**
 * Finds out what the host has, and changes nothing.
 * @throws CorduroyError saying what it lacks
 */
export async function planFounding(
  options: Options,
  { address: wished, renew, start }: FoundingWishes,
  layout: FounderLayout,
): Promise<Founding> {
  const { flags } = options;
  if (flags.instance !== '') {
    throw new CorduroyError(
      'usage',
      'corduroy init sets up the one etcd of a cluster: without --instance. Another network in it is another --etcd-prefix',
    );
  }
  requireEtcd();
  await run('openssl', ['version']);
  const owner = await etcdOwner();
  if (start) {
    requireDefaultFiles(options);
    await requireUnits([ETCD_UNIT, daemonUnit('')]);
    if (owner === undefined) {
      throw new CorduroyError(
        'usage',
        'there is no user etcd, which corduroy-etcd.service runs as: apt-get install etcd-server',
      );
    }
    await noteForeignEtcd();
  }
  const present = addressIn(readIfThere(layout.etcdConfig) ?? '');
  if (wished !== undefined && present !== undefined && present.address !== wished && !renew) {
    throw new CorduroyError(
      'usage',
      `etcd is at ${present.address}, where the other hosts look for it. To move it: corduroy init --renew --address ${wished}, ` +
        'and then, on every other host, corduroy join with a new token',
    );
  }
  const address =
    wished === undefined && present !== undefined ? present.address : await ownAddress(options, wished);
  const port = present?.port ?? ETCD_PORT;
  if (start && (await unitState(ETCD_UNIT)).active !== 'active') await requireFreePort(`${address}:${port}`);
  const prefix = flags['etcd-prefix'].replace(/\/+$/, '');
  return {
    layout,
    address,
    port,
    hostName: hostname(),
    prefix,
    renew: renew === true,
    owner,
    say: note,
  };
}

/** The one that the daemon would publish, or the one that was asked for, if it is this host's. */
async function ownAddress({ flags }: Options, wished: string | undefined): Promise<string> {
  // The default endpoints are on the loopback device, and say nothing about the way to the other hosts.
  const wishes = { ...interfaceWishes(flags), etcdEndpoints: [] };
  const chosen = await chooseInterface(
    wished === undefined ? wishes : { ...wishes, iface: [wished] },
    await readHostNetwork(),
    [4],
  );
  return String(chosen.v4?.address);
}

/** Debian starts one of its own as soon as it is installed, on the loopback device. */
async function noteForeignEtcd(): Promise<void> {
  const { active } = await unitState('etcd.service');
  if (active !== 'active') return;
  note("Debian's own etcd.service runs as well, and Corduroy does not use it: systemctl disable --now etcd");
}
