import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/lab.ts';
import { hostObstacle, NspawnHost } from '../support/nspawn.ts';
import { Lan, WORLD } from '../support/nspawn-lan.ts';
import { builtDeb, debObstacle } from '../support/nspawn-package.ts';

const execute = promisify(execFile);
const obstacle = hostObstacle() ?? debObstacle();
const URL = `http://${WORLD}:8000/corduroy.deb`;

/** Only what user-data asks for: the rest of cloud-init is about the disk and the keys of a machine of a cloud. */
const CLOUD = `datasource_list: [NoCloud]
network: {config: disabled}
cloud_init_modules: [write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
`;

describe.skipIf(obstacle)(`examples/cloud-init ${obstacle ?? ''}`, () => {
  let lan: Lan;
  const hosts: NspawnHost[] = [];

  const userData = async (which: string, input = ''): Promise<string> => {
    const made = execute('examples/cloud-init/user-data.sh', [which, URL, builtDeb()]);
    made.child.stdin?.end(input);
    return (await made).stdout;
  };

  /** A machine that finds this user-data when it boots for the first time. */
  const machine = async (name: string, text: string): Promise<NspawnHost> => {
    const host = await NspawnHost.start(name, lan, `192.0.2.${hosts.length + 11}`);
    hosts.push(host);
    await host.write('/var/lib/cloud/seed/nocloud/user-data', text, 0o600);
    await host.write(
      '/var/lib/cloud/seed/nocloud/meta-data',
      `instance-id: ${name}\nlocal-hostname: ${name}\n`,
    );
    await host.write('/etc/cloud/cloud.cfg.d/99-test.cfg', CLOUD);
    // What is installed already is not looked for in an archive that cannot be reached.
    await host.sh(
      'rm /etc/cloud/cloud-init.disabled; : >/etc/apt/sources.list; rm -f /etc/apt/sources.list.d/*',
    );
    await host.powerOff();
    await host.boot();
    const { stdout } = await host.attempt('cloud-init', 'status', '--wait', '--long');
    expect(stdout, await host.sh('tail -n 40 /var/log/cloud-init-output.log')).toContain('status: done');
    return host;
  };

  beforeAll(async () => {
    lan = await Lan.create();
    const serve = `require('node:http').createServer((request, answer) =>
      require('node:fs').createReadStream(${JSON.stringify(builtDeb())}).pipe(answer)).listen(8000, '${WORLD}')`;
    lan.outside.spawn(process.execPath, ['-e', serve], { stdio: 'inherit' });
  });
  afterAll(async () => {
    for (const host of hosts) await host.remove();
    await lan?.remove();
  });

  it('makes the first host of a network', async () => {
    const host = await machine('node1', await userData('first'));
    await host.run('corduroy', 'wait');
    expect(await host.sh('cat /var/log/cloud-init*.log')).not.toContain('cdy1.');
  });

  it('makes another, with a token, and Docker has the subnet of each', async () => {
    const [first] = hosts as [NspawnHost];
    const token = await first.run('corduroy', 'token', 'create', '--ttl', '1h');
    const next = await machine('node2', await userData('next', `${token}\n`));
    await next.run('corduroy', 'wait', '--peers', '1');
    expect(await next.sh('cat /var/log/cloud-init*.log')).not.toContain(token);
    expect((await next.attempt('test', '-e', '/run/corduroy-token')).code).toBe(1);
    for (const host of hosts) {
      const docker0 = /10\.244\.\d+\.1\/24/.exec(
        await host.run('ip', '-4', '-brief', 'address', 'show', 'docker0'),
      );
      expect(await host.run('corduroy', 'status')).toContain(docker0?.[0].replace('.1/', '.0/') ?? 'docker0');
    }
    await until('they reach each other', async () => {
      const address = /10\.244\.\d+\.1/.exec(
        await next.run('ip', '-4', '-brief', 'address', 'show', 'docker0'),
      );
      return (await first.attempt('ping', '-n', '-c', '1', '-W', '1', address?.[0] ?? '')).code === 0;
    });
  });

  it('is user-data that cloud-init finds no fault with', async () => {
    const [host] = hosts as [NspawnHost];
    for (const [which, input] of [
      ['first', ''],
      ['next', 'cdy1.TOKEN\n'],
    ] as const) {
      await host.write(`/root/${which}.user-data`, await userData(which, input));
      const said = await host.attempt('cloud-init', 'schema', '--config-file', `/root/${which}.user-data`);
      expect(said.code, said.stdout + said.stderr).toBe(0);
    }
  });
});
