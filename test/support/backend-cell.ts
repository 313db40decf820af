import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../src/host/exec.ts';
import { containerAddresses, type Overlay } from '../../src/lab/network.ts';
import { pingMatrix } from '../../src/lab/ping-matrix.ts';
import type { LabHost } from '../../src/lab/topology.ts';
import type { Family } from '../../src/net/ip.ts';
import { labObstacle, NETWORK_PREFIX, TestLab, until } from './lab.ts';
import { Pings } from './pings.ts';
import { Transfer } from './transfer.ts';

/** A backend in a network of these families, and what is to be seen of it. */
export interface Cell {
  readonly families: readonly Family[];
  readonly backend: NonNullable<Overlay['backend']>;
  /** 2: h1 and h3 stand on the one, h2 on the other. */
  readonly links?: 2;
  /** Bytes: of the overlay, on links of 1500. */
  readonly mtu: number;
  /** The backend's devices. */
  readonly devices: readonly string[];
  /** Where h1's packets to the containers of another host go. */
  readonly way: (to: Neighbour) => Way;
  /** The BackendType of a lease that it cannot reach; absent where every lease is a route. */
  readonly unreachable?: string;
  /** Why it cannot be run on this machine, or `undefined`. */
  readonly obstacle?: () => string | undefined;
}

/** Another host as h1 sees it. */
export interface Neighbour {
  readonly family: Family;
  /** On the underlay. */
  readonly address: string;
  /** The first of its subnet. */
  readonly first: string;
  readonly isOnLink: boolean;
}

/** As `ip -j route get` tells it. */
export interface Way {
  readonly dev: string;
  readonly gateway?: string;
}

/** Milliseconds in which what hands have broken is mended. */
const SOON = 4000;
/** Seconds that an answer may take: it is asked again. */
const PATIENCE = 0.5;
/** Bytes a second. */
const RATE = 200_000_000;

const FAMILY_NAMES: Readonly<Record<string, string>> = { '4': 'IPv4', '4,6': 'dual stack', '6': 'IPv6 only' };

function nameOf({ backend: { Type, ...options }, families, links }: Cell): string {
  const words = [Type, ...Object.values(options).filter((value) => typeof value === 'string')];
  const flags = Object.entries(options).flatMap(([key, value]) => (value === true ? [key] : []));
  return `${[...words, ...flags].join(' ')}, ${FAMILY_NAMES[families.join()]}${links ? ', two links' : ''}`;
}

/** The key and value of a lease that a host of another backend might have. */
function foreignLease(families: readonly Family[], type: string): [string, string] {
  const name = families
    .map((family) => (family === 4 ? '10.244.250.0-24' : 'fd00:10:244:250::-64'))
    .join('&');
  const folder = families.includes(4) ? 'subnets' : 'corduroy/subnets';
  const value = {
    PublicIP: families.includes(4) ? '192.0.2.77' : '0.0.0.0',
    PublicIPv6: families.includes(6) ? '2001:db8::4d' : null,
    BackendType: type,
  };
  return [`${NETWORK_PREFIX}/${folder}/${name}`, JSON.stringify(value)];
}

/** Runs cells two at a time: most of their time is spent waiting. */
export function describeCells(cells: readonly Cell[]): void {
  for (const lane of [0, 1]) {
    describe.concurrent(`lane ${lane + 1}`, () => {
      for (const [index, cell] of cells.entries()) if (index % 2 === lane) describeCell(cell);
    });
  }
}

/** What every backend has to do, in an order in which each step begins with what the one before has left. */
function describeCell(cell: Cell): void {
  const obstacle = labObstacle() ?? cell.obstacle?.();
  describe.skipIf(obstacle)(`${nameOf(cell)} ${obstacle ?? ''}`, { concurrent: false }, () => {
    const { families, backend, links, mtu, devices, way, unreachable } = cell;
    let lab: TestLab;
    let h1: LabHost;
    let h2: LabHost;
    let h3: LabHost;
    let before: Record<string, string>;

    beforeAll(async () => {
      const isIpv4 = families.join() === '4';
      lab = await TestLab.start({
        families,
        backend,
        links: links ?? 1,
        ...(isIpv4 && { hostFamilies: [4] }),
      });
      [h1, h2] = (await lab.addHosts(2)) as [LabHost, LabHost];
    });
    afterAll(async () => {
      await lab?.remove();
    });

    const subnetsOf = async (host: LabHost) => (await lab.status(host)).lease?.subnets ?? [];
    const targetsIn = async (host: LabHost) => containerAddresses(await subnetsOf(host));

    /** Waits until all containers reach each other at the overlay's MTU. @param hosts how many there are */
    const connected = async (hosts: number, timeout?: number) => {
      const wanted = hosts * (hosts - 1) * families.length;
      let missing = '';
      const answered = async () => {
        const pings = await pingMatrix(lab.lab, PATIENCE);
        const lost = pings.filter(({ roundTrip }) => roundTrip === undefined);
        missing = lost.map(({ from, to, family }) => `${from} to ${to} by IPv${family}`).join(', ');
        return lost.length === 0 && pings.length === wanted;
      };
      const what = `all ${wanted} pings are answered`;
      await until(what, answered, timeout).catch((error: Error) => {
        throw new Error(`${error.message}; not ${missing || 'asked for'}`);
      });
    };

    /** What a host holds for others: routes, permanent neighbours, FDB entries, peers of WireGuard. */
    const held = (host: LabHost) =>
      lab.on(
        host,
        'sh',
        '-c',
        'ip route; ip -6 route; ip neigh show nud permanent; bridge fdb show; wg show all allowed-ips 2>&1 || true',
      );

    /** Gives a host other addresses in the place of those it has, as a DHCP server might. */
    const move = async (host: LabHost, addresses: readonly string[]): Promise<LabHost> => {
      for (const [index, family] of lab.lab.spec.hostFamilies.entries()) {
        const ip = (...words: string[]) => lab.on(host, 'ip', `-${family}`, ...words);
        const [length, flags] = family === 4 ? ['/24', []] : ['/64', ['nodad']];
        const [route] = JSON.parse(await ip('-j', 'route', 'show', 'default')) as [Way];
        await ip('address', 'delete', `${host.addresses[index]}${length}`, 'dev', 'eth0');
        await ip('address', 'add', `${addresses[index]}${length}`, 'dev', 'eth0', ...flags);
        await ip('route', 'replace', 'default', 'via', route.gateway ?? '');
      }
      return { ...host, addresses };
    };

    const wayTo = async (target: string): Promise<Way> => {
      const [route] = JSON.parse(await lab.on(h1, 'ip', '-j', 'route', 'get', target)) as [Way];
      return { dev: route.dev, ...(route.gateway && { gateway: route.gateway }) };
    };

    /** Soon: a host that has moved answers at its old address for as long as neighbours remember its hardware address. */
    const expectWay = async (to: LabHost) => {
      const subnets = await subnetsOf(to);
      for (const [index, family] of families.entries()) {
        const address = to.addresses.find((one) => one.includes(':') === (family === 6)) ?? '';
        const first = subnets[index]?.split('/')[0] ?? '';
        const [target = ''] = containerAddresses(subnets.slice(index));
        const wanted = way({ family, address, first, isOnLink: to.link === h1.link });
        const isRight = async () => isDeepStrictEqual(await wayTo(target), wanted);
        await until('it is', isRight, SOON).catch(() => undefined);
        expect(await wayTo(target)).toEqual(wanted);
      }
    };

    it('connects two hosts at full MTU, the way it should', async () => {
      await connected(2);
      for (const host of [h1, h2]) {
        expect(await lab.status(host)).toMatchObject({ ready: true, problems: [], mtu });
        expect((await subnetsOf(host)).map((subnet) => (subnet.includes(':') ? 6 : 4))).toEqual(families);
      }
      await expectWay(h2);
    });

    it('carries TCP whole', async () => {
      const targets = await targetsIn(h2);
      for (const address of targets) {
        const from = { namespace: h2.container.namespace, address };
        const transfer = await Transfer.start(lab, from, h1.container, RATE);
        for (let more = 0; more < 4; more++) await transfer.goesOn();
        const { sent, received } = await transfer.finish();
        expect(received).toMatchObject(sent ?? {});
        expect(sent).toMatchObject({ bytes: expect.toSatisfy((bytes: number) => bytes > 1_000_000) });
      }
    });

    it('takes a host in', async () => {
      h3 = await lab.lab.prepareHost(3);
      before = await lab.hostState(h3);
      lab.lab.startDaemon(h3);
      await lab.lab.addContainer(h3, await lab.lab.untilReady(h3));
      await connected(3);
      await expectWay(h3);
    });

    it(unreachable ? 'says which leases it cannot reach' : 'takes every lease for a route', async () => {
      const [name, value] = foreignLease(families, unreachable ?? 'vxlan');
      await lab.etcdctl('put', name, value);
      const key = async () => {
        const { peers, ignoredLeases } = await lab.status(h1);
        const ignored = ignoredLeases.find((one) => one.key === name)?.reason;
        return ignored ?? (peers.length === 3 ? 'a peer' : undefined);
      };
      await until('h1 has heard of it', async () => (await key()) !== undefined);
      expect(await key()).toMatch(unreachable ? new RegExp(`BackendType is ${unreachable}`) : /^a peer$/);
      await lab.etcdctl('del', name);
      await until('h1 has forgotten it', async () => (await key()) === undefined);
    });

    it('loses no ping over a restart of the daemon', async () => {
      const pings = (await targetsIn(h2)).map((target) => new Pings(h1.container.namespace, target));
      await lab.restartDaemon(h1);
      await connected(3); // Or pings that nobody answers any more would count as not asked.
      for (const ping of pings) {
        const { answered, lost } = await ping.stop();
        expect(answered).toBeGreaterThan(10);
        expect(lost).toBe(0);
      }
    });

    it.each(devices)('mends %s when it is deleted', async (device) => {
      const index = async () => (await lab.on(h1, 'ip', '-o', 'link', 'show', device)).split(':')[0];
      const old = await index();
      await lab.on(h1, 'ip', 'link', 'delete', device);
      await connected(3, SOON);
      expect(await index()).not.toBe(old);
      await until('the daemon is content', async () => (await lab.status(h1)).ready);
    });

    it('puts routes back that somebody has flushed', async () => {
      const [target = ''] = await targetsIn(h2);
      expect(await lab.on(h1, 'ip', '-j', 'route', 'show', 'to', 'match', target)).not.toBe('[ ]');
      for (const family of families) await lab.on(h1, 'ip', `-${family}`, 'route', 'flush', 'proto', '67');
      await connected(3, SOON);
      await expectWay(h2);
      await expectWay(h3);
    });

    it('follows a host that gets other addresses', async () => {
      const { addresses } = h3;
      h3 = await move(
        h3,
        addresses.map((address) => `${address}7`),
      );
      await connected(3);
      await until('all is well', async () => (await lab.status(h3)).problems.length === 0);
      await expectWay(h3);
      h3 = await move(h3, addresses);
      await connected(3);
    });

    it('lets a host go, and leaves nothing of it: neither there nor on the others', async () => {
      const subnets = await subnetsOf(h3);
      const firsts = subnets.map((subnet) => `${subnet.split('/')[0]}`);
      const known = async () => {
        const { engine } = await lab.status(h1);
        const text = await held(h1);
        return (engine?.routes ?? 0) > families.length || firsts.some((first) => text.includes(first));
      };
      expect(await known()).toBe(true);
      expect(await lab.on(h3, 'corduroy', 'down', '--release')).toContain('removed: the daemon');
      await until('h1 has forgotten it', async () => !(await known()), SOON);
      await connected(2);
      await lab.on(h3, 'ip', 'link', 'delete', h3.container.name);
      expect(await lab.hostState(h3)).toEqual(before);
      expect((await run('ip', ['netns', 'pids', h3.namespace])).stdout).toBe('');
    });
  });
}
