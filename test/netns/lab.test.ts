import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { labFolder } from '../../src/lab/topology.ts';
import { labObstacle } from '../support/lab.ts';
import { programsUnderTest } from '../support/programs.ts';

describe.skipIf(labObstacle())(`corduroy lab ${labObstacle() ?? ''}`, () => {
  const name = `t${Math.floor(Math.random() * 36 ** 6).toString(36)}`;
  const lab = (verb: string, ...words: string[]) => {
    const args = [join(programsUnderTest(), 'corduroy.js'), 'lab', verb, '--name', name, ...words];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { status, stdout, stderr };
  };
  const inside = (place: string, line: string) => lab('exec', place, '--', 'sh', '-c', line).stdout.trim();

  afterAll(() => {
    lab('down');
  });

  it.each<[string[], RegExp]>([
    [['--ipv6-only', '--ipv6'], /--ipv6-only leaves no room for --ipv6/],
    [
      ['--config', '{}', '--backend', 'udp'],
      /--backend goes into the network config, and --config is all of it/,
    ],
    [['--config', '@/nowhere'], /@\/nowhere cannot be read/],
    [['--backend', 'pigeon'], /the network config: .*pigeon/],
    [['--links', '3'], /--links/],
  ])('up %j says what is wrong with it', (words, reason) => {
    const { status, stderr } = lab('up', ...words);
    expect(status).toBe(2);
    expect(stderr).toMatch(reason);
    expect(existsSync(labFolder(name))).toBe(false);
  });

  it('up makes hosts of both families on two links, which etcd and a router join', () => {
    const up = lab('up', '--hosts', '2', '--ipv6', '--links', '2');
    expect(up.stderr).toBe('');
    expect(up.stdout).toMatch(/h1 +192\.0\.2\.1 2001:db8::1 +10\.244\.\d+\.0\/24 fd00:10:244:/);
    expect(up.stdout).toMatch(/h2 +198\.51\.100\.2 2001:db8:0:1::2 /);
    expect(inside('h1', 'ip route get 198.51.100.2')).toContain('via 192.0.2.254 dev eth0');
    expect(inside('h1', 'ping -n -c 1 2001:db8:0:1::2')).toContain('ttl=63');
  });

  it('ping asks in each family', () => {
    const { status, stdout } = lab('ping');
    expect(stdout).toMatch(
      /^IPv4 +c1 +c2\nc1 +- .* ms\nc2 .* ms +-\n\nIPv6 +c1 +c2\n(.* ms.*\n){2}all 4 pings answered\n$/,
    );
    expect(status).toBe(0);
  });

  it('up again adds a host, and refuses to make another lab of it', () => {
    expect(lab('up', '--hosts', '3').stdout).toContain('h3 is ready');
    const { status, stderr } = lab('up', '--backend', 'vxlan');
    expect(status).toBe(2);
    expect(stderr).toMatch(/is up with --links 2 .*end it first, with: corduroy lab down/);
  });

  it('gives each host a /run/wireguard of its own, and shares the rest', () => {
    inside('h1', 'touch /run/wireguard/mine');
    expect(inside('h1', 'ls /run/wireguard')).toBe('mine');
    expect(inside('h2', 'ls /run/wireguard')).toBe('');
    expect(inside('h2', 'pwd')).toBe(process.cwd());
  });

  it('down leaves nothing', () => {
    expect(lab('down').stdout).toContain('7 namespaces');
    expect(existsSync(labFolder(name))).toBe(false);
    expect(spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout).not.toContain(`cdy-${name}-`);
    expect(lab('ping').stderr).toContain(`there is no lab ${name}`);
  });
});
