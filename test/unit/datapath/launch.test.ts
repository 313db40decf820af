import { expect, test } from 'vitest';
import { engineCommand, type LaunchOptions } from '../../../src/datapath/launch.ts';

const OPTIONS: LaunchOptions = {
  engine: 'native',
  tunName: 'corduroy0',
  queues: 1,
  offload: true,
  socketPath: '/run/corduroy/datapath.sock',
  logFile: '/var/log/corduroy-datapath.log',
  programs: {
    datapath: 'dist/corduroy-datapath',
    node: '/usr/bin/node',
    dgram: 'dist/corduroy-datapath-dgram.js',
  },
};
const NATIVE = 'run corduroy0 --listen /run/corduroy/datapath.sock';
const TUN_EXEC = 'tun-exec corduroy0 --listen /run/corduroy/datapath.sock';

/** Absolute paths, since the engine runs in /. */
test.each<[Partial<LaunchOptions>, string]>([
  [{}, `HERE/dist/corduroy-datapath ${NATIVE}`],
  [{ queues: 4, offload: false }, `HERE/dist/corduroy-datapath ${NATIVE} --queues 4`],
  [
    { engine: 'dgram' },
    `HERE/dist/corduroy-datapath ${TUN_EXEC} --vnet-hdr -- /usr/bin/node HERE/dist/corduroy-datapath-dgram.js`,
  ],
  [
    { engine: 'dgram', offload: false },
    `HERE/dist/corduroy-datapath ${TUN_EXEC} -- /usr/bin/node HERE/dist/corduroy-datapath-dgram.js`,
  ],
])('engineCommand of %o', (changes, expected) => {
  expect(engineCommand({ ...OPTIONS, ...changes }).join(' ')).toBe(
    expected.replaceAll('HERE', process.cwd()),
  );
});
