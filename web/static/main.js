// The page: what it says, its buttons, and when it connects.
import {Refused, Session, codecsOf} from './session.js';
import {NativeWatch} from './native.js';
import {Painter} from './paint.js';
import {Panel} from './panel.js';
import {PictureInPicture} from './pip.js';

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const stage = $('stage'), canvas = $('canvas'), video = $('video');
const panel = new Panel($('numbers'), $('graph'));
const pip = new PictureInPicture(canvas, video, () => native, () => seenOrNot());

const BACK_OFF_S = [0, 1, 2, 4, 8, 15];
// In the background for so long: leave, and come back when seen (?away=MS for tests).
const HIDDEN_MS = Number(query.get('away') ?? 20000);

// native: the browser's own RTP and decoder; carrier: web/static/worker.js
const wanted = query.get('path') ?? 'auto';
const canCarrier = typeof RTCRtpScriptTransform !== 'undefined';
// Chromium holds received video for a tick of 64 Hz, and not audio (doc/carrier.md). Nothing but its name tells.
let carrier = query.get('carrier') ?? (/Chrom(e|ium)\//.test(navigator.userAgent) ? 'audio' : 'vp8');
let native = wanted === 'native' || (wanted === 'auto' && codecsOf('H265').length > 0);

let session = null, worker = null, reader = null, attempts = 0, timer = 0, away = false;
const nativeWatch = new NativeWatch();
let size = null, exact = false, state = '', reason = '';

// ---- what it says

function say(name, text, detail = '') {
  state = name;
  document.body.dataset.state = name;
  $('message').hidden = name === 'watching';
  $('message-text').textContent = text;
  $('message-detail').textContent = detail;
  $('message-detail').hidden = !detail;
  $('retry').hidden = !['waiting', 'refused', 'unable', 'left'].includes(name);
  tell(text);
}

// For a screen reader: what happens, without the countdown.
function tell(text) {
  if ($('told').textContent !== text) $('told').textContent = text;
}

const BROWSERS = 'Chrome and Edge with a hardware decoder for HEVC, Safari 18 and newer, and every ' +
  'browser with RTCRtpScriptTransform (Chrome 141, Firefox 117, Safari 15.4 and newer) can show this share. ' +
  'So can the program: hevcast view ADDRESS';

// ---- the picture

const shownElement = () => (native ? video : canvas);

function layout() {
  if (!size) return;
  const [w, h] = size, e = shownElement(), ratio = devicePixelRatio || 1;
  const fit = Math.min(stage.clientWidth / w, stage.clientHeight / h);
  const scale = exact ? 1 / ratio : fit;
  e.style.width = `${w * scale}px`;
  e.style.height = `${h * scale}px`;
  // In the middle, but on whole pixels, of the screen and where possible of the page: half of one would blur all.
  const unit = Number.isInteger(ratio) ? 1 : ratio;
  const middle = (room, used) => `${Math.max(0, Math.round((room - used) / 2 * unit) / unit)}px`;
  e.style.marginLeft = middle(stage.clientWidth, w * scale);
  e.style.marginTop = middle(stage.clientHeight, h * scale);
  // One picture's pixel on a whole number of the screen's: nothing is to be smoothed.
  const whole = scale * ratio;
  e.classList.toggle('sharp', whole >= 0.999 && Math.abs(whole - Math.round(whole)) < 0.001);
}

function sized(w, h) {
  size = [w, h];
  canvas.hidden = native;
  video.hidden = !native;
  $('pip').hidden = !pip.possible;
  layout();
}

function watching() {
  performance.mark('first-picture');
  attempts = 0;
  reason = '';
  say('watching', 'Watching');
}

// ---- connecting

function startWorker() {
  if (worker) {
    worker.postMessage({reset: true});
    return;
  }
  worker = new Worker(new URL('./worker.js', import.meta.url), {type: 'module', name: 'hevcast'});
  const painter = new Painter(canvas, (drawn, transferred) => worker.postMessage({drawn}, transferred));
  worker.onmessage = ({data}) => {
    if (data.draw) painter.take(data.draw);
    if (data.size) sized(...data.size);
    if (data.first && session) watching();
    if (data.stats) panel.fromWorker(data.stats);
    if (data.unable) unable(data.unable);
    if (data.wantsCanvas) giveCanvas();
    if (data.unrepaired && carrier === 'audio') useVp8();
  };
  worker.onerror = (e) => unable(`the worker does not run: ${e.message ?? 'it cannot be loaded'}`);
  worker.postMessage({begin: {path: wanted, draw: query.get('draw') ?? '', verify: query.has('verify')}});
}

// For the audio carrier, beside the worker and connected with it.
function startReader() {
  if (reader) return;
  reader = new Worker(new URL('./reader.js', import.meta.url), {type: 'module', name: 'hevcast reader'});
  const {port1, port2} = new MessageChannel();
  reader.postMessage({port: port1}, [port1]);
  worker.postMessage({reader: port2}, [port2]);
  reader.onerror = (e) => {
    console.warn('hevcast: the reader does not run:', e.message ?? 'it cannot be loaded');
    if (carrier === 'audio') useVp8();
  };
}

// To the worker, for good; null where this browser cannot.
function giveCanvas() {
  const offscreen = canvas.transferControlToOffscreen?.() ?? null;
  worker.postMessage({canvas: offscreen}, offscreen ? [offscreen] : []);
}

function unable(reason) {
  session?.end();
  session = null;
  clearTimeout(timer);
  say('unable', `This browser cannot show the share: ${reason}.`, BROWSERS);
}

function connect() {
  clearTimeout(timer);
  session?.end();
  if (native && codecsOf('H265').length === 0) { // ?path=native
    unable('its WebRTC does not know H265');
    return;
  }
  if (!native && !canCarrier) {
    unable('it neither decodes HEVC nor has what the page needs to do so');
    return;
  }
  say('connecting', reason || 'Connecting…', reason ? 'Reconnecting…' : '');
  if (!native) startWorker();
  if (!native && carrier === 'audio') startReader();
  const s = session = new Session({
    carrier: native ? null : carrier, worker, reader,
    onTrack: (receiver, stream) => {
      if (!native) return;
      video.srcObject = stream;
      video.requestVideoFrameCallback?.(() => {
        if (s === session) watching();
      });
    },
    onState: (what, why) => {
      if (s !== session) return;
      if (what === 'connected') connected();
      else lost(why === 'ended' ? 'The share has ended.' : 'The connection was lost.');
    },
  });
  s.start().catch((e) => {
    if (s !== session || s.ended) return;
    s.end();
    refused(e);
  });
}

function connected() {
  if (state === 'watching') return;
  say('first', 'Connected. Waiting for the first picture…');
  worker?.postMessage({paused: unseen()});
  nativeWatch.connected(performance.now());
}

// Without the browser's own H265, from now on; the statistics say why.
function useCarrier(why) {
  native = false;
  video.srcObject = null;
  video.hidden = true;
  panel.set('Native H265', `given up: ${why}`);
  reason = `The browser’s own H265 was given up: ${why}.`;
  connect();
}

// The audio carrier is not for this browser.
function useVp8() {
  carrier = 'vp8';
  connect();
}

function refused(e) {
  if (carrier === 'audio' && !native && (e.status === 406 || e instanceof DOMException)) {
    console.warn('hevcast: no audio carrier:', e.message);
    useVp8();
    return;
  }
  if (!(e instanceof Refused)) {
    lost(reason || 'The share cannot be reached.'); // how it began says more
  } else if (native && wanted === 'auto' && canCarrier && e.status === 406) {
    useCarrier('the share has refused it'); // 4:4:4, say
  } else if (e.status === 404) {
    lost('There is no share at this address any more. It has ended, or it has a new link.');
  } else if (e.status === 503) {
    lost(`The share is full: ${e.message}.`, e.retryAfter);
  } else {
    session = null;
    say('refused', 'The share has refused this browser.', e.message);
  }
}

function lost(text, least = 0) {
  session = null;
  size = null;
  reason = text;
  canvas.hidden = video.hidden = true;
  if (unseen()) away = true; // nobody reads a countdown there
  if (away) return;
  let left = Math.max(least, BACK_OFF_S[Math.min(attempts++, BACK_OFF_S.length - 1)]);
  const tick = () => {
    if (left <= 0) {
      connect();
      return;
    }
    say('waiting', text, `Reconnecting in ${left} s`);
    left -= 1;
    timer = setTimeout(tick, 1000);
  };
  tick();
}

// ---- background

let hiddenTimer = 0;

const unseen = () => document.hidden && !pip.shown;

function leave() {
  clearTimeout(timer);
  session?.end();
  session = null;
}

function seenOrNot() {
  clearTimeout(hiddenTimer);
  worker?.postMessage({paused: unseen()});
  if (unseen()) {
    hiddenTimer = setTimeout(() => {
      away = state !== 'left';
      leave();
    }, HIDDEN_MS);
  } else if (away) {
    away = false;
    attempts = 0;
    connect();
  }
}
document.addEventListener('visibilitychange', seenOrNot);
addEventListener('pagehide', () => {
  session?.end();
  session = null;
});
addEventListener('pageshow', (e) => {
  if (e.persisted) connect();
});

// ---- buttons and keys

function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (document.documentElement.requestFullscreen) document.documentElement.requestFullscreen().catch((e) => console.warn('hevcast: no full screen:', e.message));
  else video.webkitEnterFullscreen?.(); // iPhone
}

function toggleScale() {
  exact = !exact;
  $('scale').setAttribute('aria-pressed', exact);
  layout();
}

function toggleStats() {
  const shown = $('panel').hidden;
  $('panel').hidden = !shown;
  $('stats').setAttribute('aria-pressed', shown);
}

// The address as `share` printed it: what `hevcast view` needs too, and nothing that this page alone was told.
function shareLink() {
  const certificate = session?.certificate || /^#(sha256=[0-9a-f]{64})$/i.exec(location.hash)?.[1];
  return location.origin + location.pathname.replace(/\/$/, '') + (certificate ? `#${certificate}` : '');
}

async function copyLink() {
  const link = shareLink();
  let done = false;
  try {
    await navigator.clipboard.writeText(link);
    done = true;
  } catch { // no secure context
    const field = document.createElement('textarea');
    field.value = link;
    document.body.append(field);
    field.select();
    done = document.execCommand('copy');
    field.remove();
  }
  $('copy').textContent = done ? 'Copied' : 'Copy it from the address bar';
  tell($('copy').textContent);
  setTimeout(() => { $('copy').textContent = 'Copy link'; }, 2000);
}

// As in the viewer: Q ends it.
function quit() {
  leave();
  size = null;
  canvas.hidden = video.hidden = true;
  say('left', 'You have left the share.');
}

$('fullscreen').onclick = toggleFullscreen;
$('scale').onclick = toggleScale;
$('stats').onclick = toggleStats;
$('copy').onclick = copyLink;
$('pip').onclick = () => pip.toggle();
$('retry').onclick = () => {
  attempts = 0;
  connect();
};
stage.ondblclick = toggleFullscreen;
addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.altKey || e.metaKey || e.repeat) return;
  const actions = {f: toggleFullscreen, s: toggleStats, 1: toggleScale, c: copyLink, p: () => pip.toggle(), q: quit};
  actions[e.key.toLowerCase()]?.();
});

let idleTimer = 0;
function active() {
  for (const e of [stage, $('bar')]) e.classList.remove('idle');
  clearTimeout(idleTimer);
  idleTimer = setTimeout(() => {
    if (state === 'watching') for (const e of [stage, $('bar')]) e.classList.add('idle');
  }, 2500);
}
for (const name of ['pointermove', 'pointerdown', 'keydown', 'focusin']) addEventListener(name, active);
active();

addEventListener('resize', layout);
new ResizeObserver(layout).observe(stage);
video.addEventListener('resize', () => sized(video.videoWidth, video.videoHeight));
video.addEventListener('playing', () => {
  sized(video.videoWidth, video.videoHeight);
  if (!video.requestVideoFrameCallback) watching();
});

// ---- statistics

setInterval(async () => {
  const {pc} = session ?? {};
  if (!pc || pc.connectionState !== 'connected') return;
  const {inbound, offset} = panel.fromConnection(await pc.getStats(), native, video);
  if (offset !== null) worker?.postMessage({offset});
  if (!native || session?.pc !== pc) return;
  if (unseen()) {
    nativeWatch.rest(inbound ?? {}, performance.now());
    return;
  }
  const fault = nativeWatch.fault(inbound ?? {}, performance.now());
  if (fault && wanted === 'auto' && canCarrier) useCarrier(fault);
}, 1000);

connect();
