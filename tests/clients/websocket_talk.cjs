// A WebSocket conversation with `ws` or undici's WebSocket: `websocket_talk.cjs CLIENT PLAN`; see
// websocket_talk.py for the plan and what is printed.
'use strict';
const crypto = require('node:crypto');
const now = () => Number(process.hrtime.bigint()) / 1e9;

const shown = (data, binary) => binary
  ? {at: now(), size: data.length, hex: data.subarray(0, 64).toString('hex'),
     sha256: crypto.createHash('sha256').update(data).digest('hex')}
  : {at: now(), size: data.length, text: data.toString().slice(0, 10000)};

const message = (step) => {
  if (typeof step === 'string') return step;
  if ('hex' in step) return Buffer.from(step.hex, 'hex');
  return Buffer.alloc(step.fill);
};

function talkWs(plan, found) {
  const WebSocket = require('ws');
  return new Promise((resolve) => {
    const socket = new WebSocket(plan.url, {
      headers: plan.headers, perMessageDeflate: plan.deflate !== false, maxPayload: 64 << 20,
    });
    let wanted = 0;
    const steps = [...plan.send];
    const next = () => {
      const step = steps.shift();
      if (step === undefined) return socket.close(1000, 'done');
      const parts = step.parts || null;
      const burst = step.burst || [step];
      wanted = plan.answers ?? burst.length;
      if (parts) parts.forEach((part, index) => socket.send(part, {fin: index === parts.length - 1}));
      else burst.forEach((part) => socket.send(message(part)));
      return undefined;
    };
    socket.on('open', () => { found.extensions = socket.extensions ? [socket.extensions] : []; next(); });
    socket.on('message', (data, binary) => {
      found.answers.push(shown(data, binary));
      wanted -= 1;
      if (wanted === 0) next();
    });
    socket.on('unexpected-response', (request, answer) => {
      found.status = answer.statusCode;
      request.destroy();  // the connection may stay open for another request
      resolve();
    });
    socket.on('error', (error) => { found.error = String(error.message); });
    socket.on('close', (code, reason) => {
      found.code = code; found.reason = reason.toString(); resolve();
    });
  });
}

function talkUndici(plan, found) {
  const {WebSocket} = require('undici');
  return new Promise((resolve) => {
    const socket = new WebSocket(plan.url);
    socket.binaryType = 'arraybuffer';
    const steps = [...plan.send];
    const next = () => {
      const step = steps.shift();
      if (step === undefined) socket.close(1000, 'done');
      else socket.send(message(step));
    };
    socket.onopen = () => { found.extensions = socket.extensions ? [socket.extensions] : []; next(); };
    socket.onmessage = ({data}) => {
      const binary = typeof data !== 'string';
      found.answers.push(shown(binary ? Buffer.from(data) : Buffer.from(data), binary));
      next();
    };
    socket.onerror = (event) => { found.error = String(event.message || 'error'); };
    socket.onclose = ({code, reason}) => { found.code = code; found.reason = reason; resolve(); };
  });
}

const [client, text] = process.argv.slice(2);
const found = {answers: []};
(client === 'ws' ? talkWs : talkUndici)(JSON.parse(text), found)
  .then(() => console.log(JSON.stringify(found)));
