import { type Random, randomOf } from './random.ts';

/** What is done to etcd. Times in milliseconds; members by index from 0. */
export type EtcdFault =
  | { readonly kind: 'member-killed'; readonly member: number; readonly lasts: number }
  | { readonly kind: 'member-hangs'; readonly member: number; readonly lasts: number }
  | { readonly kind: 'leader-isolated'; readonly lasts: number }
  | {
      readonly kind: 'quorum-lost';
      /** The member that stays. */
      readonly spared: number;
      readonly how: 'kill' | 'stop';
      readonly lasts: number;
    }
  | { readonly kind: 'compaction'; readonly host: number; readonly lasts: number }
  | {
      readonly kind: 'disk-slow';
      readonly member: number;
      /** Of every fdatasync. */
      readonly delay: number;
      readonly lasts: number;
    }
  | { readonly kind: 'members-restarted' }
  /** @property stepsAgo a backup is taken before every step */
  | { readonly kind: 'backup-restored'; readonly stepsAgo: number };

/** What is done to a host, by index from 0. */
export type HostFault =
  | { readonly kind: 'daemon-killed'; readonly host: number; readonly lasts: number }
  /** To the next address of those the host may have. */
  | { readonly kind: 'address-changed'; readonly host: number };

export type FaultKind = EtcdFault['kind'] | HostFault['kind'];

/** One or both; both at once, and then the host's begins while etcd's lasts. */
export interface Step {
  readonly number: number;
  /** Milliseconds of quiet before it. */
  readonly pause: number;
  readonly etcd?: EtcdFault;
  readonly host?: HostFault;
}

export interface ScheduleOptions {
  readonly hosts: number;
  readonly members: number;
  /** Kinds that are left out. */
  readonly without?: readonly FaultKind[];
}

const ETCD_KINDS = [
  'member-killed',
  'member-hangs',
  'leader-isolated',
  'quorum-lost',
  'compaction',
  'disk-slow',
  'members-restarted',
  'backup-restored',
] as const;
const HOST_KINDS = ['daemon-killed', 'address-changed'] as const;

/** What one round has once each, in an order by chance: every kind alone, and hosts' faults while etcd is in trouble. */
const ROUND: readonly (readonly [EtcdFault['kind'] | undefined, HostFault['kind'] | undefined])[] = [
  ...ETCD_KINDS.map((kind) => [kind, undefined] as const),
  ...HOST_KINDS.map((kind) => [undefined, kind] as const),
  ['quorum-lost', 'daemon-killed'],
  ['member-hangs', 'daemon-killed'],
  ['quorum-lost', 'address-changed'],
  ['leader-isolated', 'address-changed'],
];

/** The faults of a run, without end. The same seed gives the same ones. */
export function* schedule(seed: number, options: ScheduleOptions): Generator<Step, never, undefined> {
  const random = randomOf(seed);
  const { without = [] } = options;
  const allowed = (kind: FaultKind | undefined) => kind === undefined || !without.includes(kind);
  const round = ROUND.filter(([etcd, host]) => allowed(etcd) && allowed(host));
  if (round.length === 0) throw new Error('no kind of fault is left to do');
  for (let number = 1; ; ) {
    for (const [etcd, host] of random.shuffled(round)) {
      yield {
        number: number++,
        pause: random.between(0, 1000),
        ...(etcd && { etcd: etcdFault(etcd, random, options) }),
        ...(host && { host: hostFault(host, random, options) }),
      };
    }
  }
}

function etcdFault(kind: EtcdFault['kind'], random: Random, options: ScheduleOptions): EtcdFault {
  const member = random.between(0, options.members - 1);
  const lasts = random.between(1000, 5000);
  switch (kind) {
    case 'member-killed':
    case 'member-hangs':
      return { kind, member, lasts };
    case 'leader-isolated':
      return { kind, lasts };
    case 'quorum-lost':
      return { kind, spared: member, how: random.pick(['kill', 'stop']), lasts };
    case 'compaction':
      return { kind, host: random.between(0, options.hosts - 1), lasts: random.between(100, 1000) };
    case 'disk-slow':
      return { kind, member, delay: random.between(20, 150), lasts };
    case 'members-restarted':
      return { kind };
    case 'backup-restored':
      return { kind, stepsAgo: random.between(0, 6) };
  }
}

function hostFault(kind: HostFault['kind'], random: Random, options: ScheduleOptions): HostFault {
  const host = random.between(0, options.hosts - 1);
  switch (kind) {
    case 'daemon-killed':
      return { kind, host, lasts: random.between(0, 4000) };
    case 'address-changed':
      return { kind, host };
  }
}

/** The kinds of a step, as people read them. */
export function kindOf({ etcd, host }: Step): string {
  return [etcd?.kind, host?.kind].filter((kind) => kind !== undefined).join(' + ');
}
