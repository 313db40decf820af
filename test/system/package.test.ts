import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { VERSION } from '../../src/version.ts';
import { builtDeb, debObstacle } from '../support/nspawn-package.ts';

const image = inject('hostImage');
const obstacle = ('obstacle' in image ? image.obstacle : undefined) ?? debObstacle();
const lintian =
  spawnSync('lintian', ['--version']).error === undefined ? '' : 'needs lintian (make test-packages)';

/** What every installation of a package changes: dpkg's records, logs and caches, and copies of /etc/passwd. */
const NOT_COMPARED =
  '^/(proc|dev|tmp|var/lib/dpkg|var/log|var/cache)(/|$)|^/etc/(passwd|group|shadow|gshadow)-$|\\.pwd\\.lock$';

/** In a shell: writes what the daemon would, for `corduroy docker configure` to start from. */
const LEASED = `mkdir -p /run/flannel
printf 'FLANNEL_%s\\n' NETWORK=10.5.0.0/16 SUBNET=10.5.1.1/24 MTU=1472 IPMASQ=true >/run/flannel/subnet.env`;

describe.skipIf(obstacle)(`the Debian package ${obstacle ?? ''}`, () => {
  const file = builtDeb();
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cdyt-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs a shell script in a copy of the image that is gone afterwards. The package is in /tmp. */
  function inImage(script: string): string {
    if (!('folder' in image)) throw new Error(image.obstacle);
    const mounts = `
set -e
mount -t tmpfs tmpfs '${folder}'
cd '${folder}'
mkdir upper work root
mount -t overlay overlay -o lowerdir='${image.folder}',upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount -t tmpfs tmpfs root/tmp
cp '${file}' root/tmp/corduroy.deb
exec chroot root /bin/sh -ec "$SCRIPT"`;
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive', SCRIPT: script };
    const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', mounts], {
      env,
      encoding: 'utf8',
    });
    expect(status, `${stdout}\n${stderr}`).toBe(0);
    return stdout;
  }

  test('the same build makes the same package', () => {
    const text = execFileSync(
      'sh',
      ['-c', `dpkg-deb --fsys-tarfile '${file}' | tar -xO ./usr/share/doc/corduroy/changelog.gz | gunzip`],
      { encoding: 'utf8' },
    );
    const [, maintainer = '', date = ''] = /^ -- (.*?) {2}(.*)$/m.exec(text) ?? [];
    const epoch = String(Date.parse(date) / 1000);
    const env = { ...process.env, MAINTAINER: maintainer, SOURCE_DATE_EPOCH: epoch, OUT: folder };
    const again = execFileSync('src/packaging/debian/build.sh', { env, encoding: 'utf8' }).trim();
    expect(readFileSync(again).equals(readFileSync(file)), 'dist/ is of another build: make deb').toBe(true);
  });

  test.skipIf(lintian !== '')(`lintian finds no error and no warning ${lintian}`, () => {
    const { stdout } = spawnSync('lintian', ['--no-cfg', '--allow-root', file], { encoding: 'utf8' });
    expect(stdout).toBe('');
  });

  test('installed, it runs on the Node.js of the package nodejs, whatever else is in PATH', () => {
    const said = inImage(`
dpkg -i /tmp/corduroy.deb
printf '#!/bin/sh\\nexit 1\\n' >/usr/local/bin/node
chmod 755 /usr/local/bin/node
echo "version $(corduroy --version) $(corduroyd --version)"
getent passwd corduroy
head -n 1 -q /usr/bin/corduroy /usr/bin/corduroyd
ls /etc/systemd/system/multi-user.target.wants`);
    expect(said).toContain(`version ${VERSION} ${VERSION}`);
    expect(said).toMatch(/^corduroy:.*:\/usr\/sbin\/nologin$/m);
    expect(said).toContain('corduroy init');
    expect(said).toContain('#!/usr/bin/node\n#!/usr/bin/node --max-semi-space-size=4\n');
    // Nothing is enabled that nobody has set up.
    expect(said).not.toMatch(/^corduroy.*\.service$/m);
  });

  test('make deb takes a maintainer of any name', () => {
    const maintainer = "Pat O'Neil, A & B | C\\D <p@example.org>";
    const args = [
      '--no-print-directory',
      '--old-file=build',
      'deb',
      `MAINTAINER=${maintainer}`,
      `OUT=${folder}`,
    ];
    // Another make's own variables would be taken for options.
    const env = { ...process.env, MAKEFLAGS: '', MAKEOVERRIDES: '' };
    const deb = execFileSync('make', args, { env, encoding: 'utf8' }).trim();
    const field = execFileSync('dpkg-deb', ['--field', deb, 'Maintainer'], { encoding: 'utf8' });
    expect(field).toBe(`${maintainer}\n`);
  });

  test('removed, it leaves the settings; purged, nothing', () => {
    const said = inImage(`
list() { find / -xdev | grep -Ev '${NOT_COMPARED}' | sort >"$1"; cat /etc/passwd /etc/group >>"$1"; }
mkdir -p /etc/docker
printf '{\\n  "debug": true\\n}\\n' >/etc/docker/daemon.json
list /tmp/before
dpkg -i /tmp/corduroy.deb
${LEASED}
echo '{}' >/etc/corduroy/corduroyd.json
corduroy docker configure --how daemon-json --yes
ls /etc/docker /var/lib/corduroy
mkdir -p /var/lib/corduroy-lab /etc/systemd/system/docker.service.d
cp /run/flannel/subnet.env /run/flannel/subnet-lab.env
corduroy cni install --instance lab
ls /etc/cni/net.d
mkdir -p /run/cni/corduroy/corduroy-lab
touch /run/cni/corduroy/corduroy-lab/lock /run/cni/corduroy/corduroy-lab/last_reserved_ip.0
touch /etc/default/corduroyd /etc/default/corduroyd-lab
touch /var/lib/corduroy-lab/network.json /etc/sysctl.d/60-corduroy.conf
rm -rf /run/flannel
echo '# Written by corduroy docker configure; …' >/etc/systemd/system/docker.service.d/corduroy.conf
systemctl enable corduroyd.service corduroyd@lab.service
dpkg -r corduroy
ls /etc/corduroy
cp /etc/docker/daemon.json /etc/docker/daemon.json.before-corduroy
dpkg -P corduroy
list /tmp/after
echo differences:
diff /tmp/before /tmp/after || true
echo end`);
    expect(said).toContain('/etc/docker:\ndaemon.json\ndaemon.json.before-corduroy\n');
    expect(said).toMatch(/^docker-configured\.json$/m);
    expect(said).toMatch(/^10-corduroy-lab\.conflist$/m);
    expect(said).toMatch(/^corduroyd-lab\.json\ncorduroyd\.json$/m);
    expect(said).toContain('differences:\nend\n');
  });

  test("purged, it leaves what only somebody else can judge: Docker's former settings, addresses of containers", () => {
    const said = inImage(`
mkdir -p /etc/docker
echo '{"debug": true}' >/etc/docker/daemon.json
dpkg -i /tmp/corduroy.deb
${LEASED}
corduroy docker configure --how daemon-json --yes
sed -i 's/true/false/' /etc/docker/daemon.json
mkdir -p /run/cni/corduroy/corduroy
touch /run/cni/corduroy/corduroy/lock /run/cni/corduroy/corduroy/10.5.1.2
dpkg -P corduroy 2>&1
echo files:
ls /etc/docker
cat /etc/docker/daemon.json.before-corduroy
find /run/cni -type f`);
    expect(said).toContain('left /etc/docker/daemon.json.before-corduroy');
    expect(said).toContain(
      'files:\ndaemon.json\ndaemon.json.before-corduroy\n{"debug": true}\n/run/cni/corduroy/corduroy/10.5.1.2\n',
    );
  });

  test('upgraded, it keeps the settings', () => {
    const said = inImage(`
dpkg -i /tmp/corduroy.deb
echo '{"v": 1}' >/etc/corduroy/corduroyd.json
dpkg-deb -R /tmp/corduroy.deb /tmp/newer
sed -i 's/^Version: .*/Version: 99.0/' /tmp/newer/DEBIAN/control
dpkg-deb --root-owner-group -Znone --build /tmp/newer /tmp/newer.deb
dpkg -i /tmp/newer.deb
cat /etc/corduroy/corduroyd.json
dpkg-query -W -f '\${Version} \${Status}' corduroy`);
    expect(said).toContain('{"v": 1}\n99.0 install ok installed');
  });
});
