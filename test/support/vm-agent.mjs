// Runs commands in a virtual machine, for vm.ts. A request is a line of JSON that comes by the virtio port, its answer is
// one that goes there: {"id":1,"argv":["ip","link"],"input":""} and {"id":1,"code":0,"stdout":"…","stderr":""};
// its end is not waited for if it has a "log": it goes on, and what it says is there.
import { spawn } from 'node:child_process';
import { createReadStream, createWriteStream, openSync } from 'node:fs';
import { request } from 'node:http';
import { createInterface } from 'node:readline';

// The kernel lets a port be opened but once.
const fd = openSync(process.argv[2], 'r+');
const answers = createWriteStream('', { fd });
const answer = (object) => answers.write(`${JSON.stringify(object)}\n`);

createInterface({ input: createReadStream('', { fd }) }).on('line', (line) => {
  const { id, argv, input = '', log, get } = JSON.parse(line);
  if (get !== undefined) return void ask(id, get);
  const [program, ...args] = argv;
  if (log !== undefined) {
    const file = openSync(log, 'a');
    const child = spawn(program, args, { stdio: ['ignore', file, file], detached: true });
    child.on('error', (error) => answer({ id, code: 127, stdout: '', stderr: error.message }));
    child.on('spawn', () => answer({ id, code: 0, stdout: String(child.pid), stderr: '' }));
    return;
  }
  const child = spawn(program, args, { stdio: 'pipe' });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (chunk) => {
      said[name] += chunk;
    });
  }
  child.stdin.on('error', () => undefined).end(input);
  child.on('error', (error) => answer({ id, code: 127, stdout: '', stderr: error.message }));
  child.on('close', (code) => answer({ id, code: code ?? 128, ...said }));
});

/** A program of Node's takes seconds to start here: what is asked often, the agent asks itself. */
function ask(id, { socketPath, path }) {
  const failed = (error) => answer({ id, code: 1, stdout: '', stderr: error.message });
  request({ socketPath, path }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('error', failed);
    response.on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => answer({ id, code: 0, stdout: text, stderr: '' }));
  })
    .on('error', failed)
    .end();
}

answer({ ready: true });
