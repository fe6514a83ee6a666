// Loads a page with headless Chromium and waits until its title is `done`:
// `browser.cjs URL SCREENSHOT`. Prints the text of `#result`; talks to the browser over a pipe.
//
// --no-sandbox: inside the jail Chromium cannot make namespaces of its own.
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {spawn} = require('node:child_process');

const [url, screenshot] = process.argv.slice(2);
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'browser-'));
const browser = spawn('chromium', [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
  '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--disable-extensions', '--window-size=1000,1100',
  `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank',
], {stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe']});
let said = '';
browser.stderr.on('data', (data) => { said += data; });

const waiting = new Map();
let number = 0;
const call = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
  number += 1;
  waiting.set(number, {resolve, reject});
  browser.stdio[3].write(JSON.stringify({id: number, method, params, sessionId}) + '\0');
});
let buffer = '';
browser.stdio[4].on('data', (data) => {
  buffer += data;
  const messages = buffer.split('\0');
  buffer = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    const waiter = waiting.get(message.id);
    if (waiter && message.error) waiter.reject(new Error(message.error.message));
    else if (waiter) waiter.resolve(message.result);
  }
});

async function main() {
  const {targetInfos} = await call('Target.getTargets');
  const {targetId} = targetInfos.find((target) => target.type === 'page');
  const {sessionId} = await call('Target.attachToTarget', {targetId, flatten: true});
  const value = async (expression) => (await call(
    'Runtime.evaluate', {expression, returnByValue: true}, sessionId)).result.value;
  const {errorText} = await call('Page.navigate', {url}, sessionId);
  if (errorText) throw new Error(errorText);
  const end = Date.now() + 30000;
  const loaded = 'document.readyState === "complete" && document.title !== "working"';
  while (!await value(loaded)) {
    if (Date.now() > end) throw new Error(`not done: ${await value('document.body.innerText')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const {data} = await call('Page.captureScreenshot', {format: 'png'}, sessionId);
  fs.writeFileSync(screenshot, Buffer.from(data, 'base64'));
  console.log(await value('document.getElementById("result")?.textContent ?? document.body.innerText'));
}

main().catch((error) => { console.error(`${error.message}\n${said}`); process.exitCode = 1; })
  .finally(async () => {
    browser.on('exit', () => fs.rmSync(profile, {recursive: true, force: true}));
    await Promise.race([call('Browser.close'), new Promise((resolve) => setTimeout(resolve, 2000))])
      .catch(() => {});
    setTimeout(() => browser.kill('SIGKILL'), 2000).unref();
  });
