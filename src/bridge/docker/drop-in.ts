import { basename } from 'node:path';
import { CorduroyError } from '../../errors.ts';

/** What orders dockerd after the lease and gives it its options. */
export const DROP_IN = '/etc/systemd/system/docker.service.d/corduroy.conf';
/** Has dockerd started once with another address. Read after every other drop-in, and gone with the next boot at the latest. */
export const ONE_START = '/run/systemd/system/docker.service.d/zz-corduroy-once.conf';
/** The variable that the options are in; flannel's units call it so, too. */
export const OPTIONS_VARIABLE = 'DOCKER_NETWORK_OPTIONS';

/** Neither is part of the command line as it is without Corduroy. */
const OWN: readonly string[] = [DROP_IN, ONE_START];

const MARK = '# Written by corduroy docker configure; corduroy docker unconfigure removes it.';

export interface DropInParts {
  /** Of docker.service, as it is without the drop-in. */
  readonly command: UnitCommand;
  /** Unit of the daemon. */
  readonly daemonUnit: string;
  /** Writes the environment file. */
  readonly environmentCommand: readonly string[];
  readonly environmentFile: string;
}

/** A command line of a unit, or words for one, and the file that it is from. */
export interface UnitCommand {
  readonly text: string;
  readonly file: string;
}

export function isOwnDropIn(text: string): boolean {
  return text.startsWith(MARK);
}

/**
 * `Wants=` and not `Requires=`: dockerd and its containers outlive the daemon. Nothing in it keeps dockerd from starting
 * when there is no subnet: what a `-` stands before may fail.
 *
 * @throws CorduroyError `usage` when another drop-in would win over this one
 */
export function dropInText({
  command,
  daemonUnit,
  environmentCommand,
  environmentFile,
}: DropInParts): string {
  const takesOptions = command.text.includes(OPTIONS_VARIABLE);
  if (!takesOptions && comesLater(command.file)) {
    throw new CorduroyError(
      'usage',
      `${command.file} sets dockerd's command line, and systemd reads it after ${DROP_IN}: ` +
        `add $${OPTIONS_VARIABLE} to its ExecStart=, then run this again`,
    );
  }
  return [
    MARK,
    '[Unit]',
    `Wants=${daemonUnit}`,
    `After=${daemonUnit}`,
    '',
    '[Service]',
    '# At each start, from the subnet.env of that moment. Where there is none, dockerd starts without.',
    `ExecStartPre=-${environmentCommand.map(unitWord).join(' ')}`,
    `EnvironmentFile=-${environmentFile}`,
    ...(takesOptions
      ? []
      : [`# As in ${command.file}`, 'ExecStart=', `ExecStart=${command.text} $${OPTIONS_VARIABLE}`]),
    '',
  ].join('\n');
}

/** Drop-ins of a unit are read in the order of their names, whatever folder they are in. */
function comesLater(file: string): boolean {
  return file.endsWith('.conf') && basename(file) > basename(DROP_IN);
}

/** As one word of a unit's command line (systemd.service(5)). */
function unitWord(text: string): string {
  const escaped = text.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+.,:/=$-]+$/.test(escaped) ? escaped : `"${escaped.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * The command line of docker.service, without what Corduroy's drop-ins make of it.
 *
 * @param text what `systemctl cat docker.service` prints: each file under a comment that names it
 * @throws CorduroyError `usage` when there is not exactly one
 */
export function dockerCommand(text: string): UnitCommand {
  let file = '';
  let section = '';
  let commands: UnitCommand[] = [];
  for (const line of joinedLines(text)) {
    const [, header] = /^# (\/\S+(?:\.service|\.service\.d\/[^/\s]+\.conf))$/.exec(line) ?? [];
    file = header ?? file;
    section = /^\[(\w+)\]\s*$/.exec(line)?.[1] ?? section;
    const [, command] = /^ExecStart\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (command === undefined || section !== 'Service' || OWN.includes(file)) continue;
    commands = command === '' ? [] : [...commands, { text: command, file }];
  }
  const [only] = commands;
  if (only === undefined || commands.length > 1) {
    throw new CorduroyError(
      'usage',
      `docker.service has ${commands.length} command lines (ExecStart=), and one is needed: systemctl cat docker.service`,
    );
  }
  return only;
}

/** Without the line ends that a backslash stands before, and the comments between such lines. */
function joinedLines(text: string): string[] {
  const lines: string[] = [];
  let rest = '';
  for (const line of text.split('\n')) {
    if (rest !== '' && /^\s*[#;]/.test(line)) continue;
    if (line.endsWith('\\') && !/^\s*[#;]/.test(line)) rest += `${line.slice(0, -1)} `;
    else {
      lines.push(rest + line);
      rest = '';
    }
  }
  return lines;
}

/** The program that a command line starts, without systemd's prefixes. */
export function programOf({ text }: UnitCommand): string {
  return /^[@\-:+!|]*(\S+)/.exec(text)?.[1] ?? 'dockerd';
}

/**
 * What an EnvironmentFile puts on a command line, by the variables that this names; the one of Corduroy's options, and
 * flannel's, is passed over.
 */
export function wordsIn({ text, file }: UnitCommand, command: UnitCommand): UnitCommand[] {
  const names = [...command.text.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name);
  return joinedLines(text).flatMap((line) => {
    const [, name, value = ''] = /^\s*(\w+)\s*=\s*["']?(.*?)["']?\s*$/.exec(line) ?? [];
    const counts = name !== OPTIONS_VARIABLE && names.includes(name);
    return counts ? [{ text: ` ${value}`, file }] : [];
  });
}

/** Options of a command line that are also in dockerd's configuration file, of `--how daemon-json`. */
export function bridgeOptionsOn({ text }: UnitCommand, hasIpv6: boolean): string[] {
  const ipv6 = hasIpv6 ? (text.match(/(?<=\s)--(?:ipv6|fixed-cidr-v6)(?=[\s=]|$)/g) ?? []) : [];
  const found = text.match(/(?<=\s)--(?:bip|mtu|ip-masq)(?=[\s=]|$)|\$\{?DOCKER_NETWORK_OPTIONS\}?/g) ?? [];
  return [...found, ...ipv6];
}

/** Options of a command line that contradict a bridge address of ours: dockerd does not start with both. */
export function contradictingOptionsOn({ text }: UnitCommand, hasIpv6: boolean): string[] {
  const ipv6 = hasIpv6 ? (text.match(/(?<=\s)--(?:bip6|default-gateway-v6)(?=[\s=]|$)/g) ?? []) : [];
  return [
    ...(text.match(/(?<=\s)(?:--(?:bridge|fixed-cidr|default-gateway)|-b)(?=[\s=]|$)/g) ?? []),
    ...ipv6,
  ];
}
