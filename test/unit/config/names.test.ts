import { expect, test } from 'vitest';
import { namesFor } from '../../../src/config/names.ts';

test('names of the only daemon of a host, and of an instance', () => {
  expect(namesFor('')).toMatchObject({
    devices: { tun: 'corduroy0', ipip: 'corduroy.ipip', wireguard: 'corduroy-wg' },
    linkMark: 'corduroy',
    nftTable: 'corduroy',
    iptablesChain: 'CORDUROY-FORWARD',
    runDir: '/run/corduroy',
    stateDir: '/var/lib/corduroy',
    configFile: '/etc/corduroy/corduroyd.json',
    subnetFile: '/run/flannel/subnet.env',
    commandSuffix: '',
  });
  expect(namesFor('lab2')).toMatchObject({
    devices: { tun: 'cdy-lab2', ipip: 'cip-lab2', wireguard: 'cwg-lab2' },
    linkMark: 'corduroy-lab2',
    nftTable: 'corduroy-lab2',
    iptablesChain: 'CORDUROY-LAB2-FORWARD',
    runDir: '/run/corduroy-lab2',
    stateDir: '/var/lib/corduroy-lab2',
    configFile: '/etc/corduroy/corduroyd-lab2.json',
    subnetFile: '/run/flannel/subnet-lab2.env',
    commandSuffix: ' --instance lab2',
  });
});

test('the longest instance fits what the kernel allows', () => {
  const { devices, iptablesChain } = namesFor('abcdefghij');
  const { tun, ipip, wireguard, wireguard6, vxlan } = devices;
  const all = [tun, ipip, wireguard, wireguard6, vxlan(16_777_215, 4), vxlan(16_777_215, 6)];
  expect(all.every((name) => name.length <= 15)).toBe(true); // IFNAMSIZ - 1
  expect(new Set(all).size).toBe(all.length);
  expect(namesFor('').devices.vxlan(16_777_215, 6).length).toBeLessThanOrEqual(15);
  expect(iptablesChain.length).toBeLessThanOrEqual(28); // XT_EXTENSION_MAXNAMELEN - 1
});
