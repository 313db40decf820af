import { describe, expect, test } from 'vitest';
import {
  bridgeOptionsOn,
  contradictingOptionsOn,
  DROP_IN,
  dockerCommand,
  dropInText,
  isOwnDropIn,
  ONE_START,
  programOf,
  wordsIn,
} from '../../../../src/bridge/docker/drop-in.ts';

const DEBIAN_FILE = '/lib/systemd/system/docker.service';
const DEBIAN_COMMAND = '/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS';
/** As `systemctl cat` shows Debian's, shortened. */
const DEBIAN = `# ${DEBIAN_FILE}
[Unit]
Description=Docker Application Container Engine
After=network-online.target docker.socket firewalld.service containerd.service

[Service]
Type=notify
# the default is not to use systemd for cgroups
EnvironmentFile=-/etc/default/docker
ExecStart=${DEBIAN_COMMAND}
ExecReload=/bin/kill -s HUP $MAINPID
`;
const other = (name: string, text: string) => `\n# /etc/systemd/system/docker.service.d/${name}\n${text}\n`;

const dropIn = (text: string) =>
  dropInText({
    command: dockerCommand(text),
    daemonUnit: 'corduroyd.service',
    environmentCommand: ['/usr/bin/corduroy', 'docker', 'environment', '--dockerd', '/usr/sbin/dockerd'],
    environmentFile: '/run/corduroy/docker.env',
  });

describe('the drop-in of docker.service', () => {
  test("is ordered after the daemon, and keeps the unit's own command line", () => {
    expect(dropIn(DEBIAN).split('\n').slice(1)).toEqual([
      '[Unit]',
      'Wants=corduroyd.service',
      'After=corduroyd.service',
      '',
      '[Service]',
      expect.stringMatching(/^# /),
      'ExecStartPre=-/usr/bin/corduroy docker environment --dockerd /usr/sbin/dockerd',
      'EnvironmentFile=-/run/corduroy/docker.env',
      `# As in ${DEBIAN_FILE}`,
      'ExecStart=',
      `ExecStart=${DEBIAN_COMMAND} $DOCKER_NETWORK_OPTIONS`,
      '',
    ]);
    expect(isOwnDropIn(dropIn(DEBIAN))).toBe(true);
  });

  test('is the same when it is there already', () => {
    expect(dropIn(DEBIAN + other('corduroy.conf', dropIn(DEBIAN)))).toBe(dropIn(DEBIAN));
  });

  test('passes over the drop-in of one start, which a run that was killed has left', () => {
    const left = `\n# ${ONE_START}\n[Service]\nExecStart=\nExecStart=${DEBIAN_COMMAND} --bip=172.18.0.1/16\n`;
    expect(dropIn(DEBIAN + left)).toBe(dropIn(DEBIAN));
  });

  test('goes by the command line of a drop-in that it is read after', () => {
    const text =
      DEBIAN + other('10-tls.conf', '[Service]\nExecStart=\nExecStart=/usr/bin/dockerd \\\n  --tls');
    expect(dropIn(text)).toMatch(
      /ExecStart=\nExecStart=\/usr\/bin\/dockerd +--tls \$DOCKER_NETWORK_OPTIONS\n/,
    );
  });

  test('says which drop-in would win over it', () => {
    const text =
      DEBIAN + other('override.conf', '[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd://');
    expect(() => dropIn(text)).toThrow(
      /^\/etc\/systemd\/system\/docker\.service\.d\/override\.conf sets .* add \$DOCKER_NETWORK_OPTIONS/,
    );
  });

  test('leaves a command line that takes the options alone, wherever it is from', () => {
    const command = 'ExecStart=\nExecStart=/usr/bin/dockerd $DOCKER_NETWORK_OPTIONS';
    expect(dropIn(DEBIAN + other('override.conf', `[Service]\n${command}`))).not.toContain('ExecStart=');
  });

  test.each([
    ['no command line', DEBIAN.replace(/^ExecStart=.*\n/m, ''), /has 0 command lines/],
    ['two', `${DEBIAN}ExecStart=/bin/true\n`, /has 2 command lines/],
    ['one that is none of the service', DEBIAN.replace('[Service]', '[Install]'), /has 0/],
    ['one in a comment', DEBIAN.replace('ExecStart=', '#ExecStart='), /has 0/],
  ])('%s: is not guessed at', (_what, text, message) => {
    expect(() => dockerCommand(text)).toThrow(message);
  });

  test('paths that systemd would read otherwise are quoted', () => {
    const text = dropInText({
      command: dockerCommand(DEBIAN),
      daemonUnit: 'corduroyd@lab.service',
      environmentCommand: ['/opt/my tools/corduroy', '--config-file', '/etc/100%/$x.json'],
      environmentFile: '/run/corduroy-lab/docker.env',
    });
    expect(text).toContain('ExecStartPre=-"/opt/my tools/corduroy" --config-file /etc/100%%/$$x.json\n');
  });
});

test.each([
  ['/usr/sbin/dockerd -H fd://', '/usr/sbin/dockerd'],
  ['-!/usr/bin/dockerd', '/usr/bin/dockerd'],
])('the program of %s', (text, program) => {
  expect(programOf({ text, file: '' })).toBe(program);
});

test.each<[string, string[], string[]]>([
  [DEBIAN_COMMAND, [], []],
  ['dockerd --bip=10.0.0.1/24 --mtu 1400 -b br0', ['--bip', '--mtu'], ['-b']],
  [
    'dockerd --bridge=none --fixed-cidr 10.0.0.0/25 --default-gateway=10.0.0.9',
    [],
    ['--bridge', '--fixed-cidr', '--default-gateway'],
  ],
  ['dockerd $DOCKER_NETWORK_OPTIONS', ['$DOCKER_NETWORK_OPTIONS'], []],
  ['dockerd --bip6=fd00::1/64 --bridge-accept-fwmark=1 --default-gateway-v6=fd00::1', [], []],
])('options of the bridge on %s', (text, ours, contradicting) => {
  expect(bridgeOptionsOn({ text, file: DROP_IN }, false)).toEqual(ours);
  expect(contradictingOptionsOn({ text, file: DROP_IN }, false)).toEqual(contradicting);
});

test('options that an EnvironmentFile puts on the command line are found, and no others', () => {
  const file = '/etc/default/docker';
  const text =
    '#DOCKER_OPTS="-b br9"\nDOCKER_OPTS="--bridge=br0 \\\n  --mtu=1400"\nOTHER="--fixed-cidr=10.0.0.0/25"\nDOCKER_NETWORK_OPTIONS="--bip=10.0.0.1/24"\n';
  const command = { text: `${DEBIAN_COMMAND} $DOCKER_NETWORK_OPTIONS`, file: DEBIAN_FILE };
  const [words, ...more] = wordsIn({ text, file }, command);
  expect(words?.file).toBe(file);
  expect(words && contradictingOptionsOn(words, false)).toEqual(['--bridge']);
  expect(words && bridgeOptionsOn(words, false)).toEqual(['--mtu']);
  expect(more).toEqual([]);
});
