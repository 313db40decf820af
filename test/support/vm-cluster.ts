import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { RUN_FILES } from '../../src/config/names.ts';
import type { StatusDocument } from '../../src/daemon/status.ts';
import { containerAddresses } from '../../src/lab/network.ts';
import { FAST_FOLDER } from './fast-folder.ts';
import { BUILT } from './programs.ts';
import { Vm } from './vm.ts';
import { makeDisk, vmImage } from './vm-image.ts';

const execute = promisify(execFile);

const ETCD = 'http://192.0.2.1:2379';
const PREFIX = '/coreos.com/network';
const BRIDGE = 'cbr0';
const DAEMON_LOG = '/run/daemon.log';
/** Of the container behind a host: a network namespace there. */
const CONTAINER = 'c';
const IN_CONTAINER = ['ip', 'netns', 'exec', CONTAINER];
/** In the language that every Debian has, and that starts at once. */
const SENDER = `
  my $listener = IO::Socket::INET->new(LocalPort => 7000, Listen => 1, ReuseAddr => 1) or die $@;
  syswrite(STDOUT, "listening\\n");
  my $peer = $listener->accept() or die $!;
  open(my $file, '<', '/run/transfer') or die $!;
  while (sysread($file, my $block, 65536)) { print $peer $block or die $!; }
  close($peer) or die $!;
  unlink('/run/sender.log');`;
const RECEIVER = `
  my $peer = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 7000, Timeout => 60) or die $@;
  open(my $file, '>', '/run/transfer') or die $!;
  while (1) {
    my $size = sysread($peer, my $block, 65536) // die $!;
    last if $size == 0;
    print $file $block or die $!;
  }`;
/** Milliseconds. */
const PATIENCE = 240_000;

/** Two virtual machines on one link, etcd on the first, and the programs under test on both. */
export class VmCluster {
  readonly h1: Vm;
  readonly h2: Vm;
  readonly #folder: string;

  private constructor(h1: Vm, h2: Vm, folder: string) {
    this.h1 = h1;
    this.h2 = h2;
    this.#folder = folder;
  }

  static async boot(say: (line: string) => void): Promise<VmCluster> {
    const image = await vmImage(say);
    const folder = mkdtempSync(join(FAST_FOLDER, 'cdyt-vm-'));
    const machines: Vm[] = [];
    try {
      const payload = await makePayload(folder);
      say('two virtual machines boot');
      for (const number of [1, 2]) machines.push(await Vm.boot({ image, payload, number, folder }));
      const [h1, h2] = machines as [Vm, Vm];
      const listen = ['--listen-client-urls', ETCD, '--advertise-client-urls', ETCD];
      await h1.start('/run/etcd.log', 'etcd', '--data-dir', '/run/etcd', ...listen);
      const cluster = new VmCluster(h1, h2, folder);
      await until('etcd answers', async () => {
        const { code } = await h1.attempt(['etcdctl', '--endpoints', ETCD, 'endpoint', 'health']);
        return code === 0;
      });
      return cluster;
    } catch (error) {
      for (const machine of machines) await machine.end();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get hosts(): readonly Vm[] {
    return [this.h1, this.h2];
  }

  other(host: Vm): Vm {
    return host === this.h1 ? this.h2 : this.h1;
  }

  async end(): Promise<void> {
    for (const host of this.hosts) await host.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async setConfig(config: object): Promise<void> {
    await this.h1.run('etcdctl', '--endpoints', ETCD, 'put', `${PREFIX}/config`, JSON.stringify(config));
  }

  /** A daemon on each host, a container behind it, and each host has heard of the other. */
  async start(): Promise<void> {
    await Promise.all(
      this.hosts.map(async (host) => {
        const flags = ['--iface', 'eth0', '--bridge', BRIDGE, '--etcd-endpoints', ETCD];
        await host.start(DAEMON_LOG, 'corduroyd', ...flags, '--node-name', host.name);
      }),
    );
    await Promise.all(this.hosts.map(async (host) => this.addContainer(host, await this.untilReady(host))));
  }

  /** @throws where no daemon answers */
  async status(host: Vm): Promise<StatusDocument> {
    const document = await this.#ask(host);
    if (document === undefined) throw new Error(`${host.name} has no daemon`);
    return document;
  }

  async #ask(host: Vm): Promise<StatusDocument | undefined> {
    const text = await host.get(`/run/corduroy/${RUN_FILES.daemonSocket}`, '/v1/status');
    return text === undefined ? undefined : (JSON.parse(text) as StatusDocument);
  }

  async untilReady(host: Vm): Promise<StatusDocument> {
    await until(`${host.name} is ready and has a peer`, async () => {
      const document = await this.#ask(host);
      const { code } = await host.attempt(['pgrep', '-f', 'bin/corduroyd']);
      if (code !== 0) throw new Error(`the daemon of ${host.name} has ended`);
      return document?.ready === true && document.peers.length === 1;
    }).catch(async (error: unknown) => {
      const problems = (await this.#ask(host))?.problems ?? [];
      throw new Error([error, ...problems, await this.log(host)].join('\n'));
    });
    return await this.status(host);
  }

  /** The end of the daemon's. */
  async log(host: Vm): Promise<string> {
    return await host.run('tail', '-n', '20', DAEMON_LOG);
  }

  /** With the second address of each of the host's subnets. */
  async addContainer(host: Vm, { lease, mtu }: StatusDocument): Promise<void> {
    const subnets = lease?.subnets ?? [];
    const addresses = containerAddresses(subnets);
    const lines = addresses.map((address, index) => {
      const length = subnets[index]?.split('/')[1];
      const gateway = address.replace(/2$/, '1');
      const nodad = address.includes(':') ? 'nodad' : '';
      return `ip -n ${CONTAINER} address add ${address}/${length} dev eth0 ${nodad}
        ip -n ${CONTAINER} route add default via ${gateway}`;
    });
    await host.script(`
      ip netns add ${CONTAINER}
      ip link add v${CONTAINER} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${CONTAINER}
      ip link set v${CONTAINER} master ${BRIDGE} up
      ip -n ${CONTAINER} link set lo up
      ip -n ${CONTAINER} link set eth0 up
      ${lines.join('\n')}`);
  }

  /** Whether the container of a host gets an answer of the other one's in every family, at full MTU and unfragmented. */
  async pings(from: Vm): Promise<boolean> {
    const { lease, mtu = 0 } = await this.status(this.other(from));
    const answers = await Promise.all(
      containerAddresses(lease?.subnets ?? []).map(async (address) => {
        const size = String(mtu - (address.includes(':') ? 48 : 28));
        const ping = ['ping', '-n', '-c', '1', '-W', '5', '-M', 'do', '-s', size, address];
        return (await from.attempt([...IN_CONTAINER, ...ping])).code === 0;
      }),
    );
    return answers.length > 0 && answers.every(Boolean);
  }

  /**
   * Pings from the container of each host to the other one, ten a second, until what it returns is called: that tells, for
   * each host, how many were answered, and which before the last of these were not.
   */
  async startPings(): Promise<() => Promise<{ answered: number; lost: number[] }[]>> {
    const log = '/run/ping.log';
    for (const host of this.hosts) {
      const { lease } = await this.status(this.other(host));
      const [address = ''] = containerAddresses(lease?.subnets ?? []);
      await host.start(log, ...IN_CONTAINER, 'ping', '-n', '-i', '0.1', address);
    }
    return async () => {
      const end = `for pid in $(ip netns pids ${CONTAINER}); do kill -INT $pid; done`;
      const said = await Promise.all(
        this.hosts.map((host) => host.script(`${end}; sleep 1; cat ${log}; rm ${log}`)),
      );
      return said.map(answersIn);
    };
  }

  async untilAllPing(): Promise<number> {
    const began = performance.now();
    for (const host of this.hosts) {
      await until(`pings of ${host.name} at full MTU`, () => this.pings(host)).catch(
        async (error: unknown) => {
          throw new Error(`${error}\n${await this.log(host)}`);
        },
      );
    }
    return performance.now() - began;
  }

  /** Bytes that cannot be guessed, by TCP from the container of h2 to that of h1. @returns what each end has seen */
  async transfer(megabytes: number): Promise<{ sent: string; received: string; seconds: number }> {
    const { lease } = await this.status(this.h2);
    const [address = ''] = containerAddresses(lease?.subnets ?? []);
    const perl = [...IN_CONTAINER, 'perl', '-MIO::Socket::INET', '-e'];
    const sent = await this.h2.script(
      `head -c ${megabytes}M /dev/urandom >/run/transfer; sha256sum </run/transfer`,
    );
    await this.h2.start('/run/sender.log', ...perl, SENDER);
    await until('the sender listens', async () => {
      const { code } = await this.h2.attempt(['grep', '-q', 'listening', '/run/sender.log']);
      return code === 0;
    });
    const began = performance.now();
    await this.h1.run(...perl, RECEIVER, address);
    const seconds = (performance.now() - began) / 1000;
    return { sent, received: await this.h1.script('sha256sum </run/transfer'), seconds };
  }

  /** `corduroy wireguard rotate` on a host; one whose etcd answers too slowly for it keeps its key, and is asked again. */
  async rotate(host: Vm, say: (line: string) => void): Promise<string> {
    for (;;) {
      const { code, stdout, stderr } = await host.attempt(['corduroy', 'wireguard', 'rotate']);
      if (code === 0) return stdout.trim();
      if (!stderr.includes('it answers too slowly')) throw new Error(`${host.name}: ${stderr}`);
      say(`${host.name}: ${stderr.trim()}`);
    }
  }

  /** `corduroy down` on a host, whose lease goes with it. @returns what it said */
  async down(host: Vm): Promise<string> {
    await host.script(`ip netns delete ${CONTAINER}; ip link delete v${CONTAINER} 2>&- || true`);
    return await host.run('corduroy', 'down', '--release');
  }

  /** After a failure: whatever there is goes, so that the next test finds none of it. */
  async clear(): Promise<void> {
    for (const host of this.hosts) {
      await host.script(
        `ip netns delete ${CONTAINER} 2>&- || true; ip link delete v${CONTAINER} 2>&- || true`,
      );
      await host.attempt(['corduroy', 'down']);
    }
  }

  /** What `corduroy down` has to leave as it was. */
  async hostState(host: Vm): Promise<Record<string, string>> {
    // A device that the kernel makes by itself, with the module ipip.
    const text = async (...argv: string[]) => (await host.run(...argv)).replace(/^tunl0.*\n?/gm, '').trim();
    return {
      links: await text('ip', '-br', 'link'),
      addresses: await text('ip', '-br', 'address'),
      routes: await text('ip', 'route'),
      routes6: await text('ip', '-6', 'route'),
      rules: await text('ip', 'rule'),
      nft: await text('nft', 'list', 'ruleset'),
      run: await text('sh', '-c', 'ls -d /run/corduroy* /run/flannel* /run/wireguard* 2>&- || true'),
    };
  }
}

/** What is /opt in the machines: the build, with the modules that it needs. */
async function makePayload(folder: string): Promise<string> {
  const content = join(folder, 'opt');
  const bin = join(content, 'bin');
  mkdirSync(bin, { recursive: true });
  await execute(process.execPath, [join(BUILT, 'packaging/copy-modules.js'), content]);
  cpSync(BUILT, join(content, 'dist'), {
    recursive: true,
    filter: (path) => !/\/(sanitized|fuzz)|\.(map|deb|svg)$/.test(path.slice(BUILT.length)),
  });
  cpSync('package.json', join(content, 'package.json'));
  for (const program of ['corduroy', 'corduroyd']) {
    chmodSync(join(content, `dist/${program}.js`), 0o755);
    symlinkSync(`../dist/${program}.js`, join(bin, program));
  }
  const { stdout } = await execute('sh', ['-c', 'command -v wg']);
  cpSync(stdout.trim(), join(bin, 'wg'));
  for (const file of ['vm-init.sh', 'vm-agent.mjs'])
    cpSync(fileURLToPath(new URL(file, import.meta.url)), join(content, file));
  const disk = join(folder, 'payload.img');
  await makeDisk(disk, content);
  rmSync(content, { recursive: true });
  return disk;
}

function answersIn(text: string): { answered: number; lost: number[] } {
  const answers = new Set([...text.matchAll(/ icmp_seq=(\d+) .*time=/g)].map(([, number]) => Number(number)));
  const sent = Array.from({ length: Math.max(0, ...answers) }, (_, index) => index + 1);
  return { answered: answers.size, lost: sent.filter((number) => !answers.has(number)) };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE / 1000} s: ${what}`);
    await sleep(100);
  }
}
