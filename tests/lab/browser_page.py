"""A page for browsers: fetch, WebSocket and server-sent events, their results in the document.

`/page/` loads `/page/style.css`, `/page/script.js` and `/page/image.svg`, then talks to the names
its query gives: `?h2=h2.example.com&ws=ws.example.com#secret=...`. When all is done the title is
`done` and `<pre id=result>` holds JSON. The secret, which stands in the fragment and so is not part
of the page's address, is sent in a body and in a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.web_server import Exchange

_PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>working</title>
<link rel="stylesheet" href="style.css"><link rel="icon" href="image.svg"></head>
<body><h1>The lab's page</h1><img id="image" src="image.svg" alt="" width="64" height="64">
<pre id="result">working</pre><script src="script.js"></script></body></html>
"""
_STYLE = (
    b"body { font: 16px monospace; background: rgb(240, 248, 255) }\n"
    b"pre { white-space: pre-wrap; overflow-wrap: anywhere }\n"
)
_IMAGE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
    b'<circle cx="32" cy="32" r="30" fill="teal"/></svg>\n'
)
_SCRIPT = b"""
const asked = new URLSearchParams(location.search);
const secret = new URLSearchParams(location.hash.slice(1)).get('secret') || '';
const found = {};
const text = async (url, options) => {
  const answer = await fetch(url, options);
  return {status: answer.status, body: await answer.text()};
};
const attempts = {
  get: () => text('/get?from=browser'),
  post: () => text('/echo', {method: 'POST', body: 'note=' + (secret || 'from the browser')}),
  other: async () => JSON.parse((await text('https://' + asked.get('h2') + '/page/hello')).body),
  stream: async () => {
    const reader = (await fetch('/trickle?text=trickle')).body.getReader();
    const decoder = new TextDecoder();
    let whole = '', pieces = 0;
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return {whole, pieces};
      whole += decoder.decode(value, {stream: true});
      pieces += 1;
    }
  },
  events: () => new Promise((resolve) => {
    const seen = [];
    const source = new EventSource('/ticks/sse?n=3&interval=0.1');
    source.onmessage = (event) => {
      seen.push(JSON.parse(event.data).number);
      if (seen.length === 3) { source.close(); resolve(seen); }
    };
    source.onerror = () => { source.close(); resolve({error: 'EventSource', seen}); };
  }),
  socket: () => new Promise((resolve) => {
    const seen = [];
    const socket = new WebSocket('wss://' + asked.get('ws') + '/echo');
    socket.onopen = () => {
      socket.send('hello from the browser');
      socket.send(secret ? 'note=' + secret : 'second');
    };
    socket.onmessage = (event) => { seen.push(event.data); if (seen.length === 2) socket.close(); };
    socket.onclose = (event) => resolve({seen, code: event.code});
  }),
  style: () => getComputedStyle(document.body).backgroundColor,
  image: () => document.getElementById('image').decode().then(() => 'decoded'),
};
(async () => {
  await Promise.all(Object.entries(attempts).map(async ([name, attempt]) => {
    try { found[name] = await attempt(); } catch (error) { found[name] = {error: String(error)}; }
  }));
  found.protocols = Object.fromEntries(performance.getEntriesByType('resource')
    .map((entry) => [new URL(entry.name).pathname, entry.nextHopProtocol])
    .filter(([path]) => path.startsWith('/page/')));
  document.getElementById('result').textContent = JSON.stringify(found, null, 1);
  document.title = 'done';
})();
"""
_FILES = {
    "/page/": ("text/html; charset=utf-8", _PAGE),
    "/page/style.css": ("text/css", _STYLE),
    "/page/script.js": ("text/javascript", _SCRIPT),
    "/page/image.svg": ("image/svg+xml", _IMAGE),
    "/page/hello": ("application/json", b'{"hello": "from another origin"}'),
}


async def answer(exchange: Exchange) -> None:
    """Answer with one file; any origin may read it, and see how it came."""
    kind, body = _FILES.get(exchange.path, ("text/plain", b""))
    status = 200 if exchange.path in _FILES else 404
    fields = [("Access-Control-Allow-Origin", "*"), ("Timing-Allow-Origin", "*")]
    await exchange.reply(body, kind, status, fields)
