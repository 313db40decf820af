import { unlinkSync, writeSync } from 'node:fs';
import { ControlServer } from './datapath/dgram/control-server.ts';
import { endProcess } from './datapath/dgram/end-process.ts';
import { Engine } from './datapath/dgram/engine.ts';
import { createLog } from './datapath/dgram/log.ts';
import { openOuterSocket } from './datapath/dgram/outer-socket.ts';
import { dropPrivileges } from './datapath/dgram/privileges.ts';
import { openTun } from './datapath/dgram/tun-device.ts';
import { messageOf } from './errors.ts';
import { VERSION } from './version.ts';

/*
 * The reference data plane: `corduroy-datapath tun-exec NAME --listen SOCKET -- node corduroy-datapath-dgram.js`.
 *
 * Every module is imported above, statically: after CONFIGURE the process may not be able to read its own files.
 */
const TUN_FD = 3;
const CONTROL_FD = 4;
/** Set by tun-exec: where the listening socket is in the file system. */
const CONTROL_PATH = process.env.CORDUROY_CONTROL_SOCKET;

const STDERR = 2;

const log = createLog(
  (line) => {
    try {
      writeSync(STDERR, line);
    } catch {
      // A full disk or a closed pipe takes the log, and must not take the packets.
    }
  },
  () => new Date(),
);

/** In vain once root is given up, for the folder is root's: then the daemon removes it, or tun-exec replaces it. */
function removeSocketFile(): void {
  if (CONTROL_PATH === undefined) return;
  try {
    unlinkSync(CONTROL_PATH);
  } catch (error) {
    log.info(`${CONTROL_PATH} stays, for the daemon to remove: ${messageOf(error)}`);
  }
}

async function main(): Promise<void> {
  if (process.argv.length > 2) {
    process.stderr.write(
      'Usage: corduroy-datapath tun-exec NAME --listen SOCKET -- node corduroy-datapath-dgram.js\n',
    );
    process.exit(2);
  }
  // A thrown error would end in process.exit, which hangs: see end-process.ts.
  process.on('uncaughtException', (error) => {
    log.info(`defect: ${error.stack ?? error.message}`);
    removeSocketFile();
    endProcess('fault');
  });
  const tun = openTun(TUN_FD);
  const engine = new Engine({
    build: VERSION,
    tun,
    openOuterSocket,
    dropPrivileges,
    now: () => performance.now(),
    log,
    end(why) {
      removeSocketFile();
      if (why === 'asked') endProcess('asked');
      // No read is pending in these two cases: the device is gone, or was never read.
      else process.exit(1);
    },
  });
  const control = new ControlServer(
    (request) => engine.handle(request),
    `this engine (dgram ${VERSION}, pid ${process.pid})`,
    log,
  );
  await control.listen({ fd: CONTROL_FD });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => engine.stop(signal));
  log.info(`idle: version ${VERSION}, device ${tun.name}`);
}

try {
  await main();
} catch (error) {
  log.info(`cannot start: ${messageOf(error)}`);
  process.exit(1);
}
