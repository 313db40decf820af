import type { StatusDocument } from '../../daemon/status.ts';
import type { FounderLayout } from '../../enroll/layout.ts';
import type { NewToken, TokenLine } from '../../enroll/tokens.ts';
import { print, printJson } from '../context.ts';
import { duration } from '../format.ts';

/** What `corduroy init` has come to. */
export interface Founded {
  readonly endpoints: readonly string[];
  readonly networks: readonly string[];
  /** Made just now. */
  readonly token: NewToken | undefined;
  /** Of those made before, the one that ends last. */
  readonly earlier: TokenLine | undefined;
  /** Absent where the daemon has to be started by hand. */
  readonly status: StatusDocument | undefined;
  /** What somebody has to do by hand, in this order. */
  readonly commands: readonly string[];
}

/** Nothing stands yet: etcd has to be started first. */
export function reportWaiting(command: string, json: boolean): void {
  if (json) printJson({ schema: 1, started: false, commands: [command, 'corduroy init --no-start'] });
  else print(`The files are written. Start etcd, and run this command again:\n\n  ${command}`);
}

/** Where there is no systemd. The Unix socket of its peer URL comes to lie in the working directory. */
export function etcdCommand({ etcdConfig, etcdData }: FounderLayout): string {
  return `install -d -m 700 ${etcdData} && cd ${etcdData} && etcd --config-file=${etcdConfig}`;
}

export function reportFounded(founded: Founded, json: boolean): void {
  if (json) printJson(documentOf(founded));
  else print(textOf(founded));
}

function documentOf({ endpoints, networks, token, status, commands }: Founded): object {
  return {
    schema: 1,
    started: status !== undefined,
    etcd: endpoints,
    networks,
    ...(status === undefined ? { commands } : { subnets: status.lease?.subnets ?? [] }),
    ...(token && {
      token: token.token,
      tokenId: token.id,
      expiresAt: token.endsAt.toISOString(),
      join: joinLine(token),
    }),
  };
}

function textOf({ endpoints, networks, token, earlier, status, commands }: Founded): string {
  const subnets = status?.lease?.subnets.join(' ');
  const host = subnets === undefined ? '' : `, and this host has ${subnets}`;
  return [
    `The network ${networks.join(' ')} is kept in etcd at ${endpoints.join(', ')}${host}.`,
    ...(commands.length === 0 ? [] : ['', 'Now start what belongs to it:', '', ...commands.map(indented)]),
    ...(token === undefined ? [] : ['', 'On each other host, as root:', '', indented(joinLine(token)), '']),
    token === undefined ? `${earlierLine(earlier)}` : `That works until ${token.endsAt.toISOString()}.`,
    'Another token: corduroy token create',
  ].join('\n');
}

function joinLine({ token }: NewToken): string {
  return `corduroy join ${token}`;
}

function earlierLine(earlier: TokenLine | undefined): string {
  return earlier === undefined
    ? 'There is no token.'
    : `Token ${earlier.id}, made earlier, lets hosts in for another ${duration(earlier.expiresIn)}.`;
}

function indented(line: string): string {
  return `  ${line}`;
}
