import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/lab.ts';
import { hostObstacle, NspawnHost } from '../support/nspawn.ts';
import { Lan } from '../support/nspawn-lan.ts';
import { debObstacle, installDeb } from '../support/nspawn-package.ts';

const obstacle = hostObstacle() ?? debObstacle();
const ONE_START = '/run/systemd/system/docker.service.d/zz-corduroy-once.conf';
const DROP_INS = '/etc/systemd/system/docker.service.d';

describe.skipIf(obstacle)(`Docker under systemd ${obstacle ?? ''}`, () => {
  let lan: Lan;
  let host: NspawnHost;
  let files: string;

  beforeAll(async () => {
    lan = await Lan.create();
    host = await NspawnHost.start('one', lan, '192.0.2.11');
    await installDeb(host);
    await host.run('corduroy', 'init', '--network', '10.244.0.0/16');
    await host.sh('mkdir -p /etc/docker; printf \'{\\n    "debug": false\\n}\\n\' >/etc/docker/daemon.json');
    files = await state();
  });
  afterAll(async () => {
    await host?.remove();
    await lan?.remove();
  });

  /** What configure may change, and unconfigure has to leave as it was. */
  const state = () =>
    host.sh(`find /etc/docker /etc/corduroy/corduroyd.json ${DROP_INS} -type f ! -name key.json 2>/dev/null | sort | xargs sha256sum
             ls -d ${DROP_INS} 2>/dev/null || true; ls /var/lib/corduroy; systemctl cat docker.service`);
  /** systemd takes three starts of Docker in a minute for a fault. */
  const systemctl = async (...args: string[]) => {
    await host.attempt('systemctl', 'reset-failed', 'docker.service');
    await host.run('systemctl', ...args);
  };
  const docker = (...args: string[]) => host.run('corduroy', 'docker', ...args);
  const bridge = async () =>
    /inet (\S+)/.exec(await host.run('ip', '-4', '-o', 'address', 'show', 'docker0'))?.[1];
  const wanted = async () =>
    /FLANNEL_SUBNET=(\S+)/.exec(await host.run('cat', '/run/flannel/subnet.env'))?.[1] ?? 'none';
  const health = async () => (await host.attempt('corduroy', 'status')).stdout.replace(/^.*# Health/s, '');
  const isActive = async (unit: string) => (await host.attempt('systemctl', 'is-active', unit)).stdout.trim();
  const commandLine = () => host.sh('tr "\\0" " " </proc/$(cat /run/docker.pid)/cmdline');
  const hasSubnet = async () => {
    expect(await bridge()).toBe(await wanted());
    expect(await host.attempt('corduroy', 'docker', 'status')).toMatchObject({ code: 0 });
  };

  it('--how options: says what remains to be done, and --restart does it', async () => {
    await systemctl('start', 'docker');
    expect(await bridge()).toBe('172.17.0.1/16');
    expect(await docker('configure', '--how', 'options', '--yes')).toContain('systemctl restart docker');
    await until('the daemon says so', async () => /docker0 has 172\.17\.0\.1\/16/.test(await health()));
    expect(await docker('configure', '--how', 'options', '--yes', '--restart')).not.toContain('what remains');
    await hasSubnet();
    await until('all is well', async () => !(await health()).includes('docker'));
  });

  it('keeps the command line of the unit, and is content with a second run', async () => {
    const command = await host.run('systemctl', 'show', '-p', 'ExecStart', 'docker');
    expect(command).toContain(
      '/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS $DOCKER',
    );
    expect(await host.run('cat', `${DROP_INS}/corduroy.conf`)).toContain(
      'ExecStartPre=-/usr/bin/corduroy docker environment --dockerd /usr/sbin/dockerd\n',
    );
    expect(await host.attempt('systemd-analyze', 'verify', '--man=no', 'docker.service')).toMatchObject({
      stderr: expect.not.stringContaining('corduroy.conf'),
    });
    const since = await host.run('systemctl', 'show', '-p', 'ExecMainStartTimestampMonotonic', 'docker');
    const again = JSON.parse(await docker('configure', '--how', 'options', '--yes', '--restart', '--json'));
    expect(again).toMatchObject({ changed: false, restarted: false });
    expect(await host.run('systemctl', 'show', '-p', 'ExecMainStartTimestampMonotonic', 'docker')).toBe(
      since,
    );
  });

  it.each([
    'restart corduroyd',
    'restart docker',
    'restart docker corduroyd',
    'stop docker; restart corduroyd; start docker',
    'stop corduroyd; restart docker; start corduroyd',
  ])('outlives %s', async (steps) => {
    for (const step of steps.split('; ')) await systemctl(...step.split(' '));
    expect([await isActive('docker'), await isActive('corduroyd')]).toEqual(['active', 'active']);
    await hasSubnet();
  });

  it('has dockerd wait for the subnet at boot', async () => {
    await systemctl('enable', 'docker');
    await host.powerOff();
    await host.boot();
    await host.settled();
    expect(await isActive('docker')).toBe('active');
    await hasSubnet();
  });

  it('does not keep dockerd from starting where there is no daemon and no subnet, nor gives it the last one', async () => {
    await systemctl('stop', 'docker', 'corduroyd');
    expect(await host.run('cat', '/run/corduroy/docker.env')).toContain(`--bip=${await wanted()} `);
    await host.sh('mv /run/flannel/subnet.env /etc/corduroy/corduroyd.json /root');
    await systemctl('start', 'docker');
    expect(await isActive('docker')).toBe('active');
    expect(await commandLine()).toMatch(/^\/usr\/sbin\/dockerd -H fd:\/\/ (?!.*--(bip|mtu|ip-masq))/);
    await systemctl('stop', 'docker.socket', 'docker');
    await host.sh('mv /root/subnet.env /run/flannel; mv /root/corduroyd.json /etc/corduroy');
    await systemctl('start', 'corduroyd', 'docker');
    await hasSubnet();
  });

  it('sees that dockerd masquerades what it should not, and --restart mends it', async () => {
    const settings = '/etc/corduroy/corduroyd.json';
    await host.sh(
      `sed -i.bak 's/"ip-masq": true/"ip-masq": false/' ${settings} && corduroy reload && corduroy wait`,
    );
    await systemctl('restart', 'docker');
    await host.sh(`mv ${settings}.bak ${settings}; corduroy reload; corduroy wait`);
    await until('the daemon says so', async () => (await health()).includes('Docker masquerades'));
    expect(await host.attempt('corduroy', 'docker', 'status')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('Docker masquerades'),
    });
    const done = JSON.parse(await docker('configure', '--how', 'options', '--yes', '--restart', '--json'));
    expect(done).toMatchObject({ changed: false, restarted: true });
    await hasSubnet();
    await until('all is well', async () => !(await health()).includes('Docker'), 15_000);
  });

  it('refuses what would keep dockerd from starting', async () => {
    await host.sh(
      'cp -a /etc/default/docker /root; echo \'DOCKER_OPTS="--bridge=br0"\' >>/etc/default/docker',
    );
    for (const how of ['options', 'daemon-json']) {
      expect(await host.attempt('corduroy', 'docker', 'configure', '--how', how, '--yes')).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('/etc/default/docker starts dockerd with --bridge'),
      });
    }
    await host.run('mv', '/root/docker', '/etc/default/docker');
  });

  it('--how daemon-json after it: nothing of the drop-in is left, nor of a run that was killed', async () => {
    await host.sh(`mkdir -p $(dirname ${ONE_START})
                   printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd --bip=172.30.0.1/16\\n' >${ONE_START}
                   systemctl daemon-reload`);
    await docker('configure', '--how', 'daemon-json', '--yes', '--restart');
    await hasSubnet();
    for (const path of [DROP_INS, ONE_START])
      expect(await host.attempt('ls', path)).toMatchObject({ code: 2 });
    expect(JSON.parse(await host.run('cat', '/etc/docker/daemon.json'))).toEqual({
      debug: false,
      bip: await wanted(),
      mtu: 1472,
      'ip-masq': false,
    });
  });

  it('--how network after that: docker0 gives up the subnet, which the network needs', async () => {
    expect(await docker('configure', '--how', 'network', '--yes')).toContain('run this again with --restart');
    // Ended in the middle: the drop-in of one start goes all the same.
    await host.sh(`corduroy docker configure --how network --yes --restart & until [ -e ${ONE_START} ]; do sleep 0.05; done
                   kill -TERM $!; wait; test ! -e ${ONE_START}`);
    await docker('configure', '--how', 'network', '--yes', '--restart');
    const subnet = () =>
      host.attempt('docker', 'network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', 'corduroy');
    await until('the network is there', async () =>
      (await wanted()).startsWith(`${(await subnet()).stdout.trim()}/`),
    );
    expect(await bridge()).toBe('172.17.0.1/16');
    await until('all is well', async () => !(await health()).includes('ocker'));
  });

  it('does not wake a dockerd that an operator has stopped', async () => {
    // One that was killed has left its process id, which another program has by now.
    await host.sh('systemctl stop docker.service 2>/dev/null; echo 1 >/run/docker.pid');
    expect(await isActive('docker.socket')).toBe('active');
    await systemctl('restart', 'corduroyd');
    await host.run('corduroy', 'wait');
    await host.run('corduroy', 'docker', 'status');
    await host.run('sleep', '3');
    expect(await isActive('docker.service')).toBe('inactive');
    await host.run('rm', '/run/docker.pid');
    await systemctl('start', 'docker');
  });

  it('unconfigure leaves everything as it was', async () => {
    await docker('unconfigure', '--yes', '--restart');
    expect(await state()).toBe(files);
    const left = await host.attempt('docker', 'network', 'inspect', 'corduroy');
    expect(left.code).not.toBe(0);
    expect(await bridge()).toBe('172.17.0.1/16');
  });
});
