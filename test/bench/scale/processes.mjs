// What the kernel says of processes: CPU time and memory.
import { readdirSync, readFileSync, statSync } from 'node:fs';

/** Ticks a second of the times in /proc/PID/stat: USER_HZ, 100 on every architecture that Node runs on. */
const TICKS_A_SECOND = 100;

/** Seconds of CPU time that the process, its threads, and the children that it has waited for have used. */
export function cpuSeconds(pid) {
  const { own, children } = cpuTimes(pid);
  return own + children;
}

export function cpuTimes(pid) {
  // After the name, which is in parentheses and may hold spaces: utime, stime, cutime and cstime are fields 14 to 17.
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [user, system, childUser, childSystem] = fields
    .slice(11, 15)
    .map((ticks) => Number(ticks) / TICKS_A_SECOND);
  return { own: user + system, children: childUser + childSystem };
}

/** Memory in MB (10⁶ bytes): resident now, and at its highest. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) * 1024 * 1e-6;
  return { resident: of('VmRSS'), peak: of('VmHWM') };
}

/** The process that runs `program` in the network namespace that this process is in. */
export function pidOf(program) {
  const namespace = (pid) => inodeOf(`/proc/${pid}/ns/net`);
  const mine = namespace('self');
  const found = readdirSync('/proc').find(
    (entry) => /^\d+$/.test(entry) && nameOf(entry) === program && namespace(entry) === mine,
  );
  if (found === undefined) throw new Error(`no ${program} runs in this network namespace`);
  return Number(found);
}

function inodeOf(path) {
  try {
    return statSync(path).ino;
  } catch {
    return undefined; // It has ended meanwhile.
  }
}

function nameOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined;
  }
}
