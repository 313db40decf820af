import { createServer } from 'node:net';
import { CorduroyError } from '../errors.ts';
import { readIfThere } from '../host/atomic-file.ts';
import { run } from '../host/exec.ts';
import { splitAddress } from './pinned-authority.ts';

/** @throws CorduroyError `foreign-object` naming who listens there, and what to do; `usage`: no such address here */
export async function requireFreePort(address: string): Promise<void> {
  const { host, port } = splitAddress(address);
  const refusal = await tryToListen(host, port);
  if (refusal === undefined) return;
  if (refusal.code !== 'EADDRINUSE')
    throw new CorduroyError('usage', `this host cannot listen on ${address}: ${refusal.message}`);
  const { stdout } = await run('ss', ['-Hltnp', `sport = :${port}`], { allowFailure: true });
  const holder = holderIn(stdout);
  const unit = holder === undefined ? undefined : unitIn(readIfThere(`/proc/${holder.pid}/cgroup`) ?? '');
  const end =
    unit === undefined
      ? 'stop it first'
      : `if nobody needs it: systemctl disable --now ${unit}; then try again`;
  const who =
    holder === undefined ? 'another program' : `${holder.name} (pid ${holder.pid}${unit ? `, ${unit}` : ''})`;
  throw new CorduroyError(
    'foreign-object',
    `${who} listens on TCP port ${port}, where this host's etcd is to be reached: ${end}. To use an etcd that is there ` +
      'already, see docs/etcd.md',
  );
}

function tryToListen(host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

/** From `ss -Hltnp`: `LISTEN 0 4096 127.0.0.1:2379 0.0.0.0:* users:(("etcd",pid=312,fd=6))`. */
export function holderIn(text: string): { readonly name: string; readonly pid: number } | undefined {
  const [, name, pid] = /users:\(\("([^"]+)",pid=(\d+)/.exec(text) ?? [];
  return name === undefined ? undefined : { name, pid: Number(pid) };
}

/** From /proc/PID/cgroup, of either version: `0::/system.slice/etcd.service`. */
export function unitIn(text: string): string | undefined {
  return /\/([A-Za-z0-9@_.\\-]+\.service)$/m.exec(text)?.[1];
}
