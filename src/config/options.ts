import { readFileSync, statSync } from 'node:fs';
import { CorduroyError, messageOf } from '../errors.ts';
import { FLAGS, type Flag, type FlagName, type FlagValues } from './flags.ts';
import { type Names, namesFor } from './names.ts';

/** All settings of one daemon, resolved: command line, then CORDUROYD_*, then FLANNELD_*, then the file, then defaults. */
export interface Options {
  readonly flags: FlagValues;
  readonly names: Names;
  readonly runDir: string;
  readonly stateDir: string;
  readonly subnetFile: string;
  /** What the user should hear about once: unknown variables, readable secrets, flags without effect. */
  readonly warnings: readonly string[];
}

/** What was given on the command line, by flag name: the text of each occurrence. */
export type Given = Readonly<Partial<Record<FlagName, readonly string[]>>>;

const FLAG_NAMES = Object.keys(FLAGS) as FlagName[];

/** @throws CorduroyError `usage` with a sentence that names the flag, variable or key, the value, and the rule */
export function resolveOptions(given: Given, environment: NodeJS.ProcessEnv): Options {
  const early = (name: 'instance' | 'config-file') => lookUp(name, given, environment, {});
  const instance = early('instance')?.texts.at(-1) ?? '';
  checkText('instance', instance, early('instance')?.origin ?? '--instance');
  const configFile = early('config-file')?.texts.at(-1);
  if (configFile !== undefined)
    checkText('config-file', configFile, early('config-file')?.origin ?? '--config-file');
  const file = readConfigFile(configFile ?? namesFor(instance).configFile, configFile !== undefined);

  const values = Object.fromEntries(
    FLAG_NAMES.map((name) => [name, settingOf(name, lookUp(name, given, environment, file.content))]),
  ) as unknown as FlagValues;
  rejectContradictions(values);
  const names = namesFor(values.instance);
  return {
    flags:
      values.v > 0 && lookUp('log-level', given, environment, file.content) === undefined
        ? { ...values, 'log-level': 'debug' }
        : values,
    names,
    runDir: values['run-dir'] ?? names.runDir,
    stateDir: values['state-dir'] ?? names.stateDir,
    subnetFile: values['subnet-file'] ?? names.subnetFile,
    warnings: [
      ...file.warnings,
      ...(given['etcd-password'] === undefined ? [] : [PASSWORD_AS_ARGUMENT]),
      ...unknownVariables(environment),
      ...withoutEffect(values),
    ],
  };
}

const PASSWORD_AS_ARGUMENT =
  '--etcd-password on the command line could be read by every user of this host while the program started: ' +
  'put the password into a file of mode 600, and name that with --etcd-password-file';

interface Found {
  readonly texts: readonly string[];
  /** `--iface`, `CORDUROYD_IFACE`, or `"iface" in FILE`. */
  readonly origin: string;
}

function variable(prefix: string, name: FlagName): string {
  return `${prefix}_${name.toUpperCase().replaceAll('-', '_')}`;
}

function lookUp(
  name: FlagName,
  given: Given,
  environment: NodeJS.ProcessEnv,
  file: FileContent,
): Found | undefined {
  const texts = given[name];
  if (texts !== undefined) return { texts, origin: `--${name}` };
  for (const prefix of ['CORDUROYD', 'FLANNELD']) {
    const text = environment[variable(prefix, name)];
    // As in flannel, an empty variable counts as none.
    if (text !== undefined && text !== '') return { texts: [text], origin: variable(prefix, name) };
  }
  return file[name];
}

type FileContent = Partial<Record<string, Found>>;

function readConfigFile(path: string, mustExist: boolean): { content: FileContent; warnings: string[] } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (!mustExist && (error as NodeJS.ErrnoException).code === 'ENOENT')
      return { content: {}, warnings: [] };
    throw usage(`the configuration file ${path} cannot be read: ${messageOf(error)}`);
  }
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw usage(`the configuration file ${path} is not JSON${positionIn(text, error)}`);
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw usage(`the configuration file ${path} has to hold one JSON object, such as {"ip-masq": true}`);
  }
  const content: FileContent = {};
  for (const [key, value] of Object.entries(document)) {
    const origin = `"${key}" in ${path}`;
    if (!Object.hasOwn(FLAGS, key) || key === 'instance' || key === 'config-file') {
      throw usage(
        `${origin} is not a setting; the settings are the flags of corduroyd --help, without the dashes`,
      );
    }
    const texts = Array.isArray(value) ? value : [value];
    if (!texts.every((item) => ['string', 'number', 'boolean'].includes(typeof item))) {
      throw usage(`${origin} has to be a string, a number, a boolean, or a list of strings`);
    }
    if (texts.length !== 1 && !['list', 'repeat'].includes(FLAGS[key as FlagName].kind)) {
      throw usage(`${origin} takes one value, not a list of ${texts.length}`);
    }
    content[key] = { texts: texts.map(String), origin };
  }
  const readable = 'etcd-password' in content && (statSync(path).mode & 0o004) !== 0;
  return {
    content,
    warnings: readable ? [`${path} holds a password and every user can read it: chmod 600 ${path}`] : [],
  };
}

function settingOf(name: FlagName, found: Found | undefined): FlagValues[FlagName] {
  const flag: Flag = FLAGS[name];
  if (found === undefined) {
    return (flag.default ??
      (flag.kind === 'list' || flag.kind === 'repeat' ? [] : undefined)) as FlagValues[FlagName];
  }
  const { texts, origin } = found;
  if (flag.kind === 'list' || flag.kind === 'repeat') {
    const items = flag.kind === 'list' ? texts.flatMap((text) => text.split(',')) : texts;
    const trimmed = items.map((item) => item.trim()).filter((item) => item !== '');
    for (const item of trimmed) checkText(name, item, origin);
    if (trimmed.length === 0) throw usage(`${origin} is empty`);
    return trimmed;
  }
  const text = texts.at(-1) ?? '';
  if (flag.kind === 'boolean') return parseBoolean(text, origin);
  if (flag.kind === 'integer') return parseInteger(text, origin, flag);
  checkText(name, text, origin);
  return text;
}

function checkText(name: FlagName, text: string, origin: string): void {
  const flag: Flag = FLAGS[name];
  // An address may hold a user and a password.
  const shown = flag.secret ? '(hidden)' : `"${text.replace(/\/\/.*@/, '//(hidden)@')}"`;
  if (text === '' && flag.default === undefined) throw usage(`${origin} is empty`);
  if (flag.oneOf && !flag.oneOf.includes(text))
    throw usage(`${origin} is ${shown}; it is one of ${flag.oneOf.join(', ')}`);
  const broken = flag.check?.(text);
  if (broken !== undefined) throw usage(`${origin} is ${shown}: ${broken}`);
}

/** Where a text stops being JSON. The parser's own message quotes the text, which may hold a password. */
function positionIn(text: string, error: unknown): string {
  const [, position] = /at position (\d+)/.exec(messageOf(error)) ?? [];
  if (position === undefined) return '';
  const before = text.slice(0, Number(position)).split('\n');
  return `: see line ${before.length}, character ${(before.at(-1)?.length ?? 0) + 1}`;
}

/** The forms Go's flag package takes. */
function parseBoolean(text: string, origin: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw usage(`${origin} is "${text}"; it is true or false`);
}

function parseInteger(
  text: string,
  origin: string,
  { min = 0, max = Number.MAX_SAFE_INTEGER }: Flag,
): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw usage(`${origin} is "${text}"; it is a whole number from ${min} to ${max}`);
  }
  return value;
}

function rejectContradictions(values: FlagValues): void {
  const pair = (one: FlagName, other: FlagName) => {
    if ((values[one] === undefined) !== (values[other] === undefined)) {
      const [given, missing] = values[one] === undefined ? [other, one] : [one, other];
      throw usage(`--${given} is given without --${missing}: give both, or neither`);
    }
  };
  pair('etcd-certfile', 'etcd-keyfile');
  if (values['etcd-password'] !== undefined && values['etcd-password-file'] !== undefined) {
    throw usage('--etcd-password and --etcd-password-file are both given: drop one of them');
  }
  pair('etcd-username', values['etcd-password-file'] === undefined ? 'etcd-password' : 'etcd-password-file');
  const plain = values['etcd-endpoints'].filter((endpoint) => endpoint.startsWith('http:'));
  if (plain.length > 0 && plain.length < values['etcd-endpoints'].length) {
    throw usage(`--etcd-endpoints mixes http and https: ${values['etcd-endpoints'].join(',')}`);
  }
  for (const name of ['etcd-cafile', 'etcd-certfile'] as const) {
    if (values[name] !== undefined && plain.length > 0) {
      throw usage(
        `--${name} asks for TLS, but --etcd-endpoints has ${plain[0]}: write https://, or drop --${name}`,
      );
    }
  }
  if (values.bridge !== undefined && values.bridge === namesFor(values.instance).devices.tun) {
    throw usage(`--bridge ${values.bridge} is the name of the tunnel device: choose another`);
  }
}

function unknownVariables(environment: NodeJS.ProcessEnv): string[] {
  const known = new Set(FLAG_NAMES.map((name) => variable('CORDUROYD', name)));
  return Object.keys(environment)
    .filter((name) => name.startsWith('CORDUROYD_') && !known.has(name))
    .map((name) => `the environment variable ${name} belongs to no flag and is ignored`);
}

function withoutEffect(values: FlagValues): string[] {
  const reasons: Partial<Record<FlagName, string>> = {
    'net-config-path': "Corduroy reads the network config from etcd (see 'corduroy config set --help')",
  };
  const unused = Object.entries(reasons).flatMap(([name, reason]) =>
    values[name as FlagName] === undefined ? [] : [`--${name} has no effect: ${reason}`],
  );
  const excludes = values['ip-masq-exclude'].length > 0 && !values['ip-masq'];
  return [...unused, ...(excludes ? ['--ip-masq-exclude has no effect without --ip-masq'] : [])];
}

function usage(message: string): CorduroyError {
  return new CorduroyError('usage', message);
}
