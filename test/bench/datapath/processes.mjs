// Processes in network namespaces, every one of which is ended when the benchmark is, however it ends.
import { spawn, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const PREFIX = `cdb${process.pid}`;
const running = new Set();
const namespaces = new Set();

/** Makes a namespace of this run's own, with its loopback up. @returns its name */
export async function addNamespace(label) {
  const name = `${PREFIX}-${label}`;
  namespaces.add(name); // First, for a run that is interrupted in between.
  await run(undefined, 'ip', ['netns', 'add', name]);
  await script(name, 'ip link set lo up');
  return name;
}

/** Several commands, one a line. */
export async function script(namespace, lines) {
  for (const line of lines.split('\n').map((each) => each.trim())) {
    if (line === '') continue;
    const [program, ...args] = line.split(/\s+/);
    await run(namespace, program, args);
  }
}

/** Starts a process, in a namespace if one is named. nsenter executes the program, so the pid is the program's. */
export function start(namespace, program, args) {
  const [command, words] =
    namespace === undefined
      ? [program, args]
      : ['nsenter', [`--net=/run/netns/${namespace}`, '--', program, ...args]];
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const started = { child, title: `${program} ${args.join(' ')}`, stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].on('data', (chunk) => {
      started[stream] += chunk;
    });
  }
  running.add(started);
  started.ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? code));
  }).finally(() => running.delete(started));
  return started;
}

/** The standard output of a process that was started. Rejects with its standard error when it fails or takes too long. */
export async function outputOf(started, timeoutMs = 20_000) {
  const timer = setTimeout(() => started.child.kill('SIGKILL'), timeoutMs);
  const ending = await started.ended;
  clearTimeout(timer);
  if (ending === 0) return started.stdout;
  const why = ending === 'SIGKILL' ? `not done after ${timeoutMs} ms` : `ended with ${ending}`;
  throw new Error(`${started.title}: ${why}: ${(started.stderr + started.stdout).trim().slice(-400)}`);
}

export function run(namespace, program, args, timeoutMs) {
  return outputOf(start(namespace, program, args), timeoutMs);
}

/** Waits until a process has printed a line. */
export async function untilPrinted(started, line, timeoutMs = 5000) {
  let hasEnded = false;
  started.ended.then(() => {
    hasEnded = true;
  });
  for (const deadline = performance.now() + timeoutMs; !started.stdout.includes(line); await sleep(5)) {
    if (hasEnded || performance.now() > deadline)
      throw new Error(`${started.title}: did not say "${line}": ${started.stderr.trim()}`);
  }
}

export async function end(started) {
  started.child.kill('SIGKILL');
  await started.ended;
}

/** Ends every process by its pid, and removes the namespaces with all that is in them. Waits for nothing: for `exit`. */
export function removeEverything() {
  for (const { child } of running) child.kill('SIGKILL');
  for (const name of namespaces) spawnSync('ip', ['netns', 'del', name]);
  running.clear();
  namespaces.clear();
}
