import { expect, test } from 'vitest';
import { engineCommand } from '../../../src/datapath/launch.ts';

test('engineCommand: absolute paths, since the engine runs in /', () => {
  const command = engineCommand({
    engine: 'dgram',
    tunName: 'corduroy0',
    socketPath: '/run/corduroy/datapath.sock',
    logFile: '/var/log/corduroy-datapath.log',
    programs: {
      datapath: 'dist/corduroy-datapath',
      node: '/usr/bin/node',
      dgram: 'dist/corduroy-datapath-dgram.js',
    },
  });
  const here = process.cwd();
  expect(command.join(' ')).toBe(
    `${here}/dist/corduroy-datapath tun-exec corduroy0 --listen /run/corduroy/datapath.sock ` +
      `-- /usr/bin/node ${here}/dist/corduroy-datapath-dgram.js`,
  );
});
