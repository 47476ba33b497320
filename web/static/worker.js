// Off the main thread: frames of the carrier in, order, decode, draw.
//
// To the page:   {draw: picture} (paint.js), {size: [w, h]}, {first: true}, {stats: {…}}, {unable: reason}, {wantsCanvas: true},
//                {unrepaired: true}
// From the page: {begin: {path, draw, verify}}, {drawn: answer}, {canvas}, {paused: bool}, {reset: true}, {offset: ms},
//                {reader: port} (reader.js: frames of the audio carrier)
import {Backlog} from './backlog.js';
import {Judge} from './judge.js';
import {Order, parse} from './order.js';
import {Screen, hasGpu} from './draw.js';
import {WasmDecoder} from './wasm.js';
import {WebCodecsDecoder, webCodecsForHevc} from './webcodecs.js';

// What goes back to the browser in the place of every frame: a whole VP8 key frame of 16x16 black
// pixels. Its decoder is content then, and asks for nothing.
const BLACK = Uint8Array.of(0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x10, 0x00, 0x10, 0x00, 0x00, 0x47,
  0x08, 0x85, 0x85, 0x88, 0x85, 0x84, 0x88, 0x02, 0x02, 0x00, 0x0c, 0x0d, 0x60, 0x00, 0xfe, 0xff,
  0xab, 0x50, 0x80);
const STATS_MS = 1000, TICK_MS = 50;
const GAPS = 3; // so many, and nothing ever came again: this browser does not repair audio

let order = new Order();
let screen = null, path = 'auto', way = '', verify = false, paused = false, verifier = null;
let audio = null, gaps = 0; // of the audio carrier: what its reader said last
let transformer = null, current = 0, over = 0, decoder = null, making = null;
const queue = new Backlog();
let judge = null, useWasm = false; // where both decoders are there
let pumping = false;
let sent = []; // to the page, which has not answered
let late = null; // the newest picture, when the page has enough of them; valid until the next is decoded
let giveCanvas = () => {}, pageReady = () => {};
let shown = false, clockOffset = 0;
const fresh = () => ({decoded: 0, drawn: 0, skipped: 0, decodeMs: 0, drawMs: 0, rows: 0, bytes: 0, latency: [], encode: [], transfer: []});
let count = fresh();
const totals = {frames: 0, decoded: 0, drawn: 0, keys: 0, keyRequests: 0, errors: 0, unseen: 0};

const now = () => performance.now();
const unixMs = () => performance.timeOrigin + performance.now();
const say = (message, transferred = []) => self.postMessage(message, transferred);

function startAgain() {
  queue.clear();
  order.broken(now());
  askForKey();
}

function askForKey() {
  if (paused || !transformer || !order.wantsKey(now())) return;
  totals.keyRequests++;
  if (audio && order.next !== null && ++gaps === GAPS && audio.late === 0) say({unrepaired: true});
  transformer.sendKeyFrameRequest().catch(() => {});
}

function dropDecoder() {
  decoder?.close();
  decoder = null;
}

function decodingFailed(error) {
  totals.errors++;
  if (error.unable) {
    queue.clear();
    say({unable: error.message});
    return;
  }
  console.warn('hevcast: decoding failed:', error.message);
  const wasCodecs = decoder instanceof WebCodecsDecoder;
  dropDecoder();
  if (wasCodecs && path === 'auto') {
    path = 'wasm';
    judge = null;
  }
  startAgain();
}

// A picture was decoded in so long.
function took(ms) {
  if (!judge?.took(ms)) return;
  useWasm = !useWasm;
  console.info(`hevcast: decodes by ${useWasm ? 'WebAssembly' : 'WebCodecs'} from now on, which is quicker here`);
  dropDecoder();
  startAgain();
}

// {decoder} as the path says, made when the first frame comes.
async function makeDecoder() {
  const codecs = path === 'wasm' ? null : await webCodecsForHevc();
  if (codecs && path === 'auto' && !verify) judge ??= new Judge();
  if (codecs && !useWasm) {
    const made = new WebCodecsDecoder(codecs, (waiting) => needless(waiting + queue.length), readyToDraw, (picture, began) => {
      if (decoder !== made) return; // of a connection that has ended
      if (began) {
        count.decodeMs += now() - began.at;
        queue.took(now() - Math.max(began.at, made.gave ?? 0), began.frame.key);
      }
      made.gave = now();
      show(picture, began?.frame);
      if (began) took(now() - began.at);
    }, (e) => {
      if (decoder === made) decodingFailed(e);
    }, () => {
      if (!pumping) pump();
    });
    return made;
  }
  if (path === 'webcodecs') throw new Error('this browser\'s WebCodecs does not take HEVC');
  return WasmDecoder.make();
}

// A decoder, and before the first one what it draws with.
async function prepare() {
  const made = await makeDecoder();
  if (screen) return made;
  if (verify) {
    const {Verifier} = await import('./verify.js');
    verifier = await Verifier.make(made instanceof WebCodecsDecoder);
  }
  let canvas = null;
  if (made.planes && way !== '2d' && (way === 'webgl' || hasGpu())) {
    say({wantsCanvas: true}); // the page can give it away once only
    canvas = await new Promise((resolve) => { giveCanvas = resolve; });
  }
  screen = new Screen(canvas, say);
  return made;
}

function readyToDraw() {
  return screen.ready ? null : new Promise((resolve) => { pageReady = resolve; });
}

// Too slow for every picture: the newest is what counts, and some motion.
const needless = (waiting) => waiting > 2 && shown && now() - draw.last < 50;

// picture: null when it was decoded, and is not drawn.
function show(picture, frame) {
  count.decoded++;
  totals.decoded++;
  if (!picture) {
    count.skipped++;
    return;
  }
  if (screen.ready) draw(picture, frame);
  else late = {picture, frame};
}

function draw(picture, frame) {
  const began = now();
  if (frame) verifier?.drawn(picture, frame);
  const {resized, rows} = screen.draw(picture, frame?.captured ?? 0);
  const done = {frame, rows: rows / picture.height};
  draw.last = now();
  done.ms = draw.last - began;
  if (screen.answers && rows > 0) sent.push(done);
  else drawn(done, unixMs());
  if (resized || !shown) say({size: [picture.width, picture.height]});
  if (!shown) say({first: true, decoder: decoder.name, drawing: screen.name});
  shown = true;
}
draw.last = 0;

// at: Unix time.
function drawn({frame, rows, ms}, at) {
  count.rows += rows;
  count.drawMs += ms;
  count.drawn++;
  totals.drawn++;
  if (frame?.captured) count.latency.push(at - frame.captured - clockOffset);
  if (frame) count.encode.push(frame.encodeMs);
}

// The page has put a picture on its canvas; unseen: how many before it were covered at once.
function answered({buffer, at, ms, unseen}) {
  screen.back(buffer);
  const done = sent.shift();
  done.ms += ms;
  drawn(done, at);
  totals.unseen += unseen;
  if (late) {
    const {picture, frame} = late;
    late = null;
    draw(picture, frame);
  }
  pageReady();
}

function dropLate() {
  if (late) count.skipped++;
  late = null;
}

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
      making ??= prepare();
      try {
        decoder = await making;
      } catch (e) {
        queue.clear();
        pumping = false;
        say({unable: e.message});
        return;
      } finally {
        making = null;
      }
    }
    if (decoder.full) { // it says when there is room
      pumping = false;
      return;
    }
    const {frame, lost} = queue.next(now());
    if (lost) startAgain();
    else if (frame) decodeOne(frame);
  } catch (e) {
    decodingFailed(e);
  }
  turn.port2.postMessage(0);
}

function decodeOne(frame) {
  if (decoder instanceof WebCodecsDecoder) {
    verifier?.before(frame);
    decoder.decode(frame);
    return;
  }
  dropLate();
  const began = now();
  let ended = 0;
  decoder.decode(frame, (picture) => {
    ended = now();
    show(needless(queue.length) ? null : picture, frame);
  });
  const ms = (ended || now()) - began;
  count.decodeMs += ms;
  queue.took(now() - began, frame.key);
  took(ms);
}

// arrived: at this worker, or at the reader.
function take(frame, arrived) {
  totals.frames++;
  if (frame.key) totals.keys++;
  count.bytes += frame.data.length;
  frame.arrived = arrived;
  if (frame.captured) count.transfer.push(performance.timeOrigin + arrived - frame.captured - clockOffset - frame.encodeMs);
  if (paused) return;
  // A gap begins when it is seen here: what fills it may wait behind this frame.
  queue.push(...order.push(frame, now()));
  if (!pumping) pump();
}

// Whether something is of the connection that there is, or of a new one.
function belongs(connection) {
  if (connection < current || connection <= over) return false;
  if (connection > current) {
    current = connection;
    order.reset();
  }
  return true;
}

function fromReader({connection, frame, first, stuck = null, late}) {
  if (!belongs(connection)) return;
  if (!audio) {
    audio = {late: 0};
    gaps = 0;
  }
  if (frame) {
    take(frame, frame.arrived - performance.timeOrigin);
    // Packets of before this browser was ready are never asked for again.
    if (order.next === null && !frame.key && first) order.hurry(now());
    return;
  }
  audio.late = late;
  order.stuck(stuck === null ? null : stuck - performance.timeOrigin);
  askForKey();
}

self.onrtctransform = async ({transformer: t}) => {
  if (!belongs(t.options.connection)) return;
  transformer = t; // with the audio carrier its only purpose is to ask for key frames
  const reader = t.readable.getReader(), writer = t.writable.getWriter();
  try {
    for (let r; !(r = await reader.read()).done;) {
      const frame = parse(r.value.data);
      r.value.data = BLACK.slice().buffer;
      writer.write(r.value).catch(() => {});
      if (frame && t === transformer) take(frame, now());
    }
  } catch {
    // The connection has ended; the page knows.
  }
};

setInterval(() => {
  if (decoder?.stuck) decodingFailed(new Error('it gives no picture'));
  if (!audio) askForKey(); // else when its reader ticks: all that was whole before has been seen then
}, TICK_MS);

const median = (list) => (list.length ? list.sort((a, b) => a - b)[list.length >> 1] : null);
let since = now();
setInterval(() => {
  const seconds = (now() - since) / 1000;
  since = now();
  say({stats: {
    carrier: audio ? 'audio' : 'vp8', decoder: decoder ? decoder.name : '', drawing: screen ? screen.name : '',
    fps: count.drawn / seconds, decodedFps: count.decoded / seconds, skipped: count.skipped,
    decodeMs: count.decoded ? count.decodeMs / count.decoded : null,
    drawMs: count.drawn ? count.drawMs / count.drawn : null,
    drawnPart: count.drawn ? count.rows / count.drawn : null, // of the rows
    latencyMs: median(count.latency), encodeMs: median(count.encode), transferMs: median(count.transfer),
    lost: order.lost, waiting: queue.length, behind: queue.behind, paused, totals: {...totals},
    verified: verifier && {good: verifier.good, bad: verifier.bad, without: verifier.without},
  }});
  count = fresh();
}, STATS_MS);

self.onmessage = ({data}) => {
  if (data.drawn) answered(data.drawn);
  if (data.begin) {
    ({path, draw: way, verify} = data.begin);
    // Compile while the connection comes about.
    making = prepare();
    making.then((d) => { decoder ??= d; making = null; }, () => { making = null; });
  }
  if (data.reader) data.reader.onmessage = (e) => fromReader(e.data);
  if (data.canvas !== undefined) giveCanvas(data.canvas);
  if (data.offset !== undefined) clockOffset = data.offset;
  if (data.paused !== undefined && data.paused !== paused) {
    paused = data.paused;
    if (!paused) {
      order.asked = -Infinity;
      startAgain();
    }
  }
  if (data.reset) { // another connection begins
    queue.clear();
    dropLate();
    transformer = null;
    audio = null;
    over = current;
    shown = false;
    order = new Order();
    if (decoder instanceof WebCodecsDecoder) dropDecoder();
  }
};
