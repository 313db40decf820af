// Writes one key many times over one connection: 150 runs of etcdctl take half a minute.
// Usage: node etcd-put-many.mjs URL CA CERT KEY USER:PASSWORD NAME COUNT BYTES
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';

const [url, ca, cert, key, user, name, count, bytes] = process.argv.slice(2);
const agent = new Agent({
  keepAlive: true,
  ca: readFileSync(ca),
  cert: readFileSync(cert),
  key: readFileSync(key),
});

/** One call of etcd's JSON gateway. */
function call(path, body, token) {
  return new Promise((resolve, reject) => {
    const headers = token ? { Authorization: token } : {};
    const sent = request(`${url}${path}`, { method: 'POST', agent, headers, timeout: 5000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => (response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(text)));
    });
    sent.on('error', reject);
    sent.on('timeout', () => sent.destroy(new Error('no answer within 5 s')));
    sent.end(JSON.stringify(body));
  });
}

const base64 = (text) => Buffer.from(text).toString('base64');
const [, username, password] = /^([^:]*):(.*)$/.exec(user);
const { token } = await call('/v3/auth/authenticate', { name: username, password });
const value = base64('x'.repeat(Number(bytes)));
for (let done = 0; done < Number(count); done++)
  await call('/v3/kv/put', { key: base64(name), value }, token);
agent.destroy();
