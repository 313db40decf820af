import type { Command, Option } from 'commander';
import { DAEMON_FLAGS, ETCD_FLAGS, FLAGS, type Flag, type FlagName } from '../config/flags.ts';
import { namesFor } from '../config/names.ts';
import { VERSION } from '../version.ts';
import { bold, example, item, prose, roff, section } from './roff.ts';

const PLACES = namesFor('');
/** Settings that several commands take; the page lists each once. */
const SHARED: ReadonlySet<string> = new Set([...ETCD_FLAGS, ...DAEMON_FLAGS]);

/** The manual page corduroy(1), from the definitions that parse the command line. */
export function corduroyPage(program: Command): string {
  return page('CORDUROY', 1, [
    section('NAME', 'corduroy \\- look after the overlay network of this host'),
    section('SYNOPSIS', `${bold('corduroy')} \\fICOMMAND\\fR [\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]`),
    section(
      'DESCRIPTION',
      roff(program.description()),
      '.PP',
      roff(
        'The commands read the same configuration file and environment variables as the daemon, so that on a host that is configured by the file they need no options. Variables that only the unit of the daemon has, from /etc/default/corduroyd, they do not see.',
      ),
    ),
    section('OPTIONS', ...optionItems(program, () => true)),
    section('COMMANDS', ...program.commands.flatMap((command) => commandParts(command))),
    section(
      'SHARED OPTIONS',
      roff('Each command takes those that are named in its part of this page.'),
      ...[...ETCD_FLAGS, ...DAEMON_FLAGS].map((name) => item(bold(`--${name}`), FLAGS[name].help)),
    ),
    section('EXIT STATUS AND EXAMPLES', ...prose(afterHelp(program))),
    section('FILES', item(bold(PLACES.configFile), 'settings; see corduroyd.json(5)')),
    section('SEE ALSO', `${bold('corduroyd')}(8), ${bold('corduroyd.json')}(5)`),
  ]);
}

/** The manual page corduroyd(8). */
export function corduroydPage(daemon: Command): string {
  return page('CORDUROYD', 8, [
    section('NAME', 'corduroyd \\- daemon of the Corduroy overlay network'),
    section('SYNOPSIS', `${bold('corduroyd')} [\\fIOPTION\\fR...]`),
    section(
      'DESCRIPTION',
      roff(daemon.description()),
      '.PP',
      roff(
        'The packets are moved by a process of their own, the data plane, which goes on when the daemon stops, fails or is replaced; corduroy down ends both and removes what they made.',
      ),
    ),
    section('OPTIONS', ...optionItems(daemon, () => true)),
    section('ENVIRONMENT AND EXAMPLES', ...prose(afterHelp(daemon))),
    section(
      'SIGNALS',
      item(
        'SIGTERM, SIGINT',
        'Stop; what the daemon made stays, and packets flow. A second one does not wait.',
      ),
      item('SIGHUP', 'Read the settings again, and use them if they are valid.'),
    ),
    section(
      'EXIT STATUS',
      roff('0 stopped as asked, 1 failed, 2 wrong use: the message names the setting and the rule.'),
    ),
    section(
      'FILES',
      item(bold(PLACES.configFile), 'settings; see corduroyd.json(5)'),
      item(bold(PLACES.subnetFile), 'the subnet, for whatever configures the containers'),
      item(bold(PLACES.runDir), 'sockets, log and record of what was made on this host'),
      item(bold(PLACES.stateDir), 'what survives a reboot'),
      roff('Those of --instance NAME have -NAME in their names.'),
    ),
    section('SEE ALSO', `${bold('corduroy')}(1), ${bold('corduroyd.json')}(5)`),
  ]);
}

/** The manual page corduroyd.json(5). */
export function configFilePage(): string {
  const names = (Object.keys(FLAGS) as FlagName[]).filter(
    (name) => name !== 'instance' && name !== 'config-file',
  );
  return page('CORDUROYD.JSON', 5, [
    section('NAME', 'corduroyd.json \\- settings of corduroyd and corduroy'),
    section(
      'DESCRIPTION',
      roff(
        `${PLACES.configFile} holds one JSON object. Its keys are the options of corduroyd(8) without the dashes. The command line wins, then the environment variables CORDUROYD_*, then FLANNELD_*, then this file.`,
      ),
      '.PP',
      roff(
        'An unknown key or a bad value ends the daemon with exit code 2 and a sentence that names it. systemctl reload corduroyd has a running daemon read the file again.',
      ),
    ),
    section('SETTINGS', ...names.map((name) => item(bold(name), settingText(FLAGS[name])))),
    section(
      'EXAMPLE',
      example([
        '{',
        '  "etcd-endpoints": ["https://10.0.0.1:2379", "https://10.0.0.2:2379"],',
        '  "etcd-cafile": "/etc/ssl/etcd-ca.pem",',
        '  "iface": "eth1",',
        '  "ip-masq": true',
        '}',
      ]),
    ),
    section('SEE ALSO', `${bold('corduroyd')}(8), ${bold('corduroy')}(1)`),
  ]);
}

const JSON_TYPES: Readonly<Record<Flag['kind'], string>> = {
  string: 'string',
  list: 'string or list of strings',
  repeat: 'string or list of strings',
  boolean: 'true or false',
  integer: 'number',
};

function settingText(flag: Flag): string {
  const { kind, help, min, max, oneOf } = flag;
  const type = oneOf === undefined ? JSON_TYPES[kind] : oneOf.map((word) => `"${word}"`).join(', ');
  const range = min === undefined || max === undefined ? '' : ` from ${min} to ${max}`;
  const standard =
    flag.default === undefined || flag.default === '' ? '' : `; default: ${JSON.stringify(flag.default)}`;
  return `(${type}${range}${standard}) ${help}`;
}

/** A command, then those below it. */
function commandParts(command: Command): string[] {
  const help = command.createHelp();
  if (command.commands.length > 0) {
    return [
      `.SS ${quoted(nameOf(command))}`,
      roff(sentence(command.description())),
      ...command.commands.flatMap(commandParts),
    ];
  }
  const shared = command.options.map((option) => option.name()).filter((name) => SHARED.has(name));
  return [
    `.SS ${quoted(help.commandUsage(command))}`,
    roff(sentence(command.description())),
    ...command.registeredArguments
      .filter(({ description }) => description !== '')
      .map((argument) => item(`\\fI${roff(argument.name())}\\fR`, help.argumentDescription(argument))),
    ...optionItems(command, (option) => !SHARED.has(option.name())),
    ...(shared.length > 0
      ? [`.PP\nShared options: ${shared.map((name) => bold(`--${name}`)).join(', ')}.`]
      : []),
    ...prose(afterHelp(command)),
  ];
}

function optionItems(command: Command, wanted: (option: Option) => boolean): string[] {
  const help = command.createHelp();
  return command.options
    .filter((option) => !option.hidden && wanted(option))
    .map((option) => item(bold(option.flags), help.optionDescription(option)));
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

/** What `addHelpText` appended. */
function afterHelp(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text.slice(command.helpInformation().length);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}

/** An argument of a macro: it ends at a quotation mark. */
function quoted(text: string): string {
  return `"${roff(text).replaceAll('"', '\\(dq')}"`;
}

/** Without a date, so that the same sources make the same page. */
function page(title: string, number: number, sections: readonly string[]): string {
  return `${[`.TH ${title} ${number} "" ${quoted(`corduroy ${VERSION}`)} Corduroy`, '.nh', '.ad l', ...sections].join('\n')}\n`;
}
