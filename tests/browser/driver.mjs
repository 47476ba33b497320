// driver.mjs chromium|firefox|firefox-h265: one headless browser, driven by lines of JSON on standard input.
// Each line {do, …} is answered by one line: {ok: value} or {error: text}. The end of the input ends it.
import {createInterface} from 'node:readline';
import puppeteer from 'puppeteer-core';

const kind = process.argv[2];
const origin = process.env.SECURE_ORIGIN;
const binary = kind === 'chromium' ? process.env.CHROMIUM : process.env.FIREFOX;

const browser = await puppeteer.launch(kind === 'chromium' ? {
  browser: 'chrome', executablePath: binary, headless: true,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb', '--force-device-scale-factor=1',
    ...(origin ? [`--unsafely-treat-insecure-origin-as-secure=${origin}`] : []), ...(process.env.BROWSER_ARGS ?? '').split(' ').filter(Boolean)],
} : {
  browser: 'firefox', executablePath: binary, headless: true,
  extraPrefsFirefox: {
    'dom.media.webcodecs.h265.enabled': kind === 'firefox-h265',
    ...(origin ? {'dom.securecontext.allowlist': new URL(origin).hostname} : {}),
    // Nothing is to be fetched from elsewhere.
    'datareporting.policy.dataSubmissionEnabled': false,
    'app.update.disabledForTesting': true,
    'network.captive-portal-service.enabled': false,
    'network.connectivity-service.enabled': false,
  },
});
const page = await browser.newPage();
const log = [];
page.on('console', (m) => log.push(`${m.type()}: ${m.text()}`));
page.on('pageerror', (e) => log.push(`error: ${e.message}`));

let hider = null;

async function seen(hidden) {
  for (let i = 0; i < 20; i++) {
    if (await page.evaluate((h) => document.hidden === h, hidden)) return true;
    await new Promise((r) => { setTimeout(r, 50); });
  }
  return false;
}

const commands = {
  // more: deviceScaleFactor, isMobile, hasTouch (Chromium)
  open: async ({url, width = 1280, height = 720, ...more}) => {
    await page.setViewport({width, height, ...more});
    const response = await page.goto(url, {waitUntil: 'domcontentloaded', timeout: 30000});
    return response ? response.status() : 0;
  },
  // Another tab comes to the front, or this one again; whether the page noticed.
  hide: async () => {
    hider ??= await browser.newPage();
    await hider.bringToFront();
    return seen(true);
  },
  show: async () => {
    await page.bringToFront();
    return seen(false);
  },
  reload: async () => { await page.reload({waitUntil: 'domcontentloaded'}); },
  // Until the page's state is one of these; how it is then.
  state: async ({wanted, timeout = 20000}) => {
    await page.waitForFunction((w) => w.includes(document.body.dataset.state), {timeout, polling: 50}, wanted);
    return page.evaluate(() => ({
      state: document.body.dataset.state, text: document.getElementById('message-text').textContent,
      detail: document.getElementById('message-detail').textContent, ms: performance.now(),
    }));
  },
  // Before any script of each page that is opened from now on.
  inject: async ({code}) => { await page.evaluateOnNewDocument(code); },
  evaluate: ({code}) => page.evaluate(`(async () => { ${code} })()`),
  stats: () => page.evaluate(() => JSON.parse(document.body.dataset.stats ?? 'null')),
  key: async ({key}) => { await page.keyboard.press(key); },
  click: async ({at, count = 1}) => { await page.click(at, {count}); },
  tap: async ({at}) => { await page.tap(at); },
  // The page may use the clipboard (Firefox lets it after a key).
  grant: async () => {
    if (kind !== 'chromium') return;
    await browser.defaultBrowserContext().overridePermissions(new URL(page.url()).origin,
      ['clipboard-read', 'clipboard-write', 'clipboard-sanitized-write']);
  },
  paste: async () => {
    await page.keyboard.down('Control');
    await page.keyboard.press('v');
    await page.keyboard.up('Control');
  },
  // {role, name, …} of what a screen reader finds (Chromium)
  accessible: async () => {
    const found = [];
    const walk = (n) => { found.push([n.role, n.name ?? '']); (n.children ?? []).forEach(walk); };
    walk(await page.accessibility.snapshot({interestingOnly: false}));
    return found;
  },
  // What the page shows, as base64 of RGBA and its size.
  pixels: () => page.evaluate(() => {
    const from = document.getElementById('canvas').hidden ? document.getElementById('video') : document.getElementById('canvas');
    const width = from.videoWidth ?? from.width, height = from.videoHeight ?? from.height;
    const copy = new OffscreenCanvas(width, height), c = copy.getContext('2d', {willReadFrequently: true});
    c.drawImage(from, 0, 0);
    const {data} = c.getImageData(0, 0, width, height);
    let text = '';
    for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode.apply(null, data.subarray(i, i + 32768));
    return {width, height, data: btoa(text)};
  }),
  screenshot: async ({path, clip}) => { await page.screenshot({path, clip, captureBeyondViewport: false}); },
  log: () => log.splice(0),
};

console.log(JSON.stringify({ok: await browser.version()}));
for await (const line of createInterface({input: process.stdin})) {
  let answer;
  try {
    const {do: name, ...args} = JSON.parse(line);
    answer = {ok: (await commands[name](args)) ?? null};
  } catch (e) {
    answer = {error: String(e.message ?? e)};
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
