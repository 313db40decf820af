import { expect, test } from 'vitest';
import { namesFor } from '../../../src/config/names.ts';

test('names of the only daemon of a host, and of an instance', () => {
  expect(namesFor('')).toEqual({
    tun: 'corduroy0',
    linkMark: 'corduroy',
    nftTable: 'corduroy',
    iptablesChain: 'CORDUROY-FORWARD',
    runDir: '/run/corduroy',
    stateDir: '/var/lib/corduroy',
    configFile: '/etc/corduroy/corduroyd.json',
    subnetFile: '/run/flannel/subnet.env',
    commandSuffix: '',
  });
  expect(namesFor('lab2')).toEqual({
    tun: 'cdy-lab2',
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
  const { tun, iptablesChain } = namesFor('abcdefghij');
  expect(tun.length).toBeLessThanOrEqual(15); // IFNAMSIZ - 1
  expect(iptablesChain.length).toBeLessThanOrEqual(28); // XT_EXTENSION_MAXNAMELEN - 1
});
