// Off the main thread: frames of the carrier in, order, decode, draw.
//
// To the page:   {size: [w, h]}, {first: true}, {stats: {…}}, {unable: reason}
// From the page: {canvas, path, draw, verify}, {paused: bool}, {reset: true}, {offset: ms}
import {Order, parse} from './order.js';
import {Screen} from './draw.js';
import {WasmDecoder} from './wasm.js';
import {WebCodecsDecoder, webCodecsForHevc} from './webcodecs.js';

// What goes back to the browser in the place of every frame: a whole VP8 key frame of 16x16 black
// pixels. Its decoder is content then, and asks for nothing.
const BLACK = Uint8Array.of(0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00, 0x00, 0x47,
  0x08, 0x85, 0x85, 0x88, 0x85, 0x84, 0x88, 0x02, 0x02, 0x00, 0x0c, 0x0d, 0x60, 0x00, 0xfe, 0xff,
  0xab, 0x50, 0x80);
const BEHIND_MS = 1500; // more than this waits to be decoded: start again at a key frame
const STATS_MS = 1000;

let order = new Order();
let screen = null, path = 'auto', paused = false, verifier = null;
let transformer = null, decoder = null, making = null;
let queue = [], pumping = false;
let shown = false, clockOffset = 0;
const fresh = () => ({decoded: 0, drawn: 0, skipped: 0, decodeMs: 0, drawMs: 0, rows: 0, bytes: 0, latency: [], encode: [], transfer: []});
let count = fresh();
const totals = {frames: 0, decoded: 0, drawn: 0, keys: 0, keyRequests: 0, errors: 0};

const now = () => performance.now();
const unixMs = () => performance.timeOrigin + performance.now();
const say = (message) => self.postMessage(message);

function startAgain() {
  queue = [];
  order.broken(now());
  askForKey();
}

function askForKey() {
  if (paused || !transformer || !order.wantsKey(now())) return;
  totals.keyRequests++;
  transformer.sendKeyFrameRequest().catch(() => {});
}

function dropDecoder() {
  decoder?.close();
  decoder = null;
}

function decodingFailed(error) {
  totals.errors++;
  if (error.unable) {
    queue = [];
    say({unable: error.message});
    return;
  }
  console.warn('hevcast: decoding failed:', error.message);
  const wasCodecs = decoder instanceof WebCodecsDecoder;
  dropDecoder();
  if (wasCodecs && path === 'auto') path = 'wasm';
  startAgain();
}

// {decoder} as the path says, made when the first frame comes.
async function makeDecoder() {
  const codecs = path === 'wasm' ? null : await webCodecsForHevc();
  if (codecs) {
    const made = new WebCodecsDecoder(codecs, needless, (picture, began) => {
      if (decoder !== made) return; // of a connection that has ended
      count.decodeMs += began ? now() - began.at : 0;
      show(picture, began?.frame);
    }, (e) => {
      if (decoder === made) decodingFailed(e);
    });
    return made;
  }
  if (path === 'webcodecs') throw new Error('this browser\'s WebCodecs does not take HEVC');
  return WasmDecoder.make();
}

async function makeVerified() {
  const {Verifier} = await import('./verify.js');
  const made = await makeDecoder();
  verifier = await Verifier.make(made instanceof WebCodecsDecoder);
  return made;
}

// Too slow for every picture: the newest is what counts, and some motion.
const needless = (waiting) => waiting > 2 && shown && now() - show.last < 50;

// picture: null when it was decoded, and is not drawn.
function show(picture, frame) {
  count.decoded++;
  totals.decoded++;
  if (!picture) {
    count.skipped++;
    return;
  }
  const began = now();
  if (frame) verifier?.drawn(picture, frame);
  const {resized, rows} = screen.draw(picture);
  count.rows += rows / picture.height;
  show.last = now();
  count.drawMs += show.last - began;
  count.drawn++;
  totals.drawn++;
  if (frame?.captured) count.latency.push(unixMs() - frame.captured - clockOffset);
  if (frame) count.encode.push(frame.encodeMs);
  if (resized || !shown) say({size: [picture.width, picture.height]});
  if (!shown) say({first: true, decoder: decoder.name, drawing: screen.name});
  shown = true;
}
show.last = 0;

const turn = new MessageChannel(); // gives the frames that came meanwhile their turn
turn.port1.onmessage = () => pump();

async function pump() {
  if (queue.length === 0) {
    pumping = false;
    return;
  }
  pumping = true;
  try {
    if (!decoder) {
      making ??= makeDecoder();
      try {
        decoder = await making;
      } catch (e) {
        queue = [];
        pumping = false;
        say({unable: e.message});
        return;
      } finally {
        making = null;
      }
    }
    const frame = queue.shift();
    if (frame) decodeOne(frame);
  } catch (e) {
    decodingFailed(e);
  }
  turn.port2.postMessage(0);
}

function decodeOne(frame) {
  if (now() - frame.arrived > BEHIND_MS && !frame.key && queue.length > 0) {
    startAgain();
    return;
  }
  if (decoder instanceof WebCodecsDecoder) {
    verifier?.before(frame);
    decoder.decode(frame);
    return;
  }
  const began = now();
  let ended = 0;
  decoder.decode(frame, (picture) => {
    ended = now();
    show(needless(queue.length) ? null : picture, frame);
  });
  count.decodeMs += (ended || now()) - began;
}

function take(frame) {
  totals.frames++;
  if (frame.key) totals.keys++;
  count.bytes += frame.data.length;
  frame.arrived = now();
  if (frame.captured) count.transfer.push(unixMs() - frame.captured - clockOffset - frame.encodeMs);
  if (paused) return;
  queue.push(...order.push(frame, frame.arrived));
  if (!pumping) pump();
}

self.onrtctransform = async ({transformer: t}) => {
  transformer = t;
  order.reset();
  const reader = t.readable.getReader(), writer = t.writable.getWriter();
  try {
    for (let r; !(r = await reader.read()).done;) {
      const frame = parse(r.value.data);
      r.value.data = BLACK.slice().buffer;
      writer.write(r.value).catch(() => {});
      if (frame && t === transformer) take(frame);
    }
  } catch {
    // The connection has ended; the page knows.
  }
};

setInterval(askForKey, 50);

const median = (list) => (list.length ? list.sort((a, b) => a - b)[list.length >> 1] : null);
let since = now();
setInterval(() => {
  const seconds = (now() - since) / 1000;
  since = now();
  say({stats: {
    decoder: decoder ? decoder.name : '', drawing: screen ? screen.name : '',
    fps: count.drawn / seconds, decodedFps: count.decoded / seconds, skipped: count.skipped,
    decodeMs: count.decoded ? count.decodeMs / count.decoded : null,
    drawMs: count.drawn ? count.drawMs / count.drawn : null,
    drawnPart: count.drawn ? count.rows / count.drawn : null, // of the rows
    latencyMs: median(count.latency), encodeMs: median(count.encode), transferMs: median(count.transfer),
    lost: order.lost, waiting: queue.length, paused, totals: {...totals},
    verified: verifier && {good: verifier.good, bad: verifier.bad, without: verifier.without},
  }});
  count = fresh();
}, STATS_MS);

self.onmessage = ({data}) => {
  if (data.canvas) {
    path = data.path;
    screen = new Screen(data.canvas, data.draw);
    // Compile while the connection comes about.
    making = data.verify ? makeVerified() : makeDecoder();
    making.then((d) => { decoder ??= d; making = null; }, () => { making = null; });
  }
  if (data.offset !== undefined) clockOffset = data.offset;
  if (data.paused !== undefined && data.paused !== paused) {
    paused = data.paused;
    if (!paused) {
      order.asked = -Infinity;
      startAgain();
    }
  }
  if (data.reset) { // another connection begins
    queue = [];
    transformer = null;
    shown = false;
    order = new Order();
    if (decoder instanceof WebCodecsDecoder) dropDecoder();
  }
};
