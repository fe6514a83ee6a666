// HTTP requests with Node's http2 module or undici: `http_requests.cjs CLIENT PLAN`; see
// http_requests.py for the plan and what is printed.
'use strict';
const crypto = require('node:crypto');
const http2 = require('node:http2');

const body = (request) => 'fill' in request || 'body' in request
  ? Buffer.concat([Buffer.from(request.body || ''), Buffer.alloc(request.fill || 0)]) : null;

const shown = (status, version, data, more = {}) => ({
  status, version, size: data.length,
  text: data.length < 10000 ? data.toString() : '',
  sha256: crypto.createHash('sha256').update(data).digest('hex'), ...more,
});

const failed = (error) => ({error: `${error.code || error.name}: ${error.message}`});

function http2Client() {
  const sessions = new Map();
  const session = (origin) => {
    if (!sessions.has(origin)) {
      const made = http2.connect(origin);
      made.on('error', () => {});
      sessions.set(origin, made);
    }
    return sessions.get(origin);
  };
  const one = (request) => new Promise((resolve) => {
    const url = new URL(request.url);
    const stream = session(url.origin).request({
      ':method': request.method || 'GET', ':path': url.pathname + url.search,
      ...(request.headers || {}),
    });
    const pieces = [];
    let head = {}, trailers = {};
    stream.on('response', (fields) => { head = fields; });
    stream.on('trailers', (fields) => { trailers = {...fields}; });
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', () => resolve(head[':status']
      ? shown(head[':status'], 'HTTP/2', Buffer.concat(pieces), {trailers})
      : {error: 'no response'}));
    stream.on('error', (error) => resolve(failed(error)));
    stream.end(body(request) || undefined);
  });
  return {one, close: () => sessions.forEach((made) => made.close())};
}

function undiciClient() {
  const {Agent, request: send} = require('undici');
  const dispatcher = new Agent({allowH2: true});
  const one = async (request) => {
    try {
      const answer = await send(request.url, {
        dispatcher, method: request.method || 'GET', headers: request.headers, body: body(request),
      });
      const data = Buffer.from(await answer.body.arrayBuffer());
      return shown(answer.statusCode, '', data, {trailers: answer.trailers});
    } catch (error) { return failed(error); }
  };
  return {one, close: () => dispatcher.close()};
}

async function main() {
  const [name, text] = process.argv.slice(2);
  const plan = JSON.parse(text);
  const client = name === 'node-http2' ? http2Client() : undiciClient();
  let found = [];
  if (plan.parallel) found = await Promise.all(plan.requests.map(client.one));
  else for (const request of plan.requests) found.push(await client.one(request));
  console.log(JSON.stringify(found));
  client.close();
}
main();
