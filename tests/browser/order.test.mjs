// The pure parts of the page: frames of the carrier in order, what is read from them, what waits to be decoded,
// when the browser's own H265 is given up, when a picture is put on the canvas.
import assert from 'node:assert/strict';
import test from 'node:test';
import {Order, parse, HEADER} from '../../web/static/order.js';
import {codecString, nals} from '../../web/static/annexb.js';
import {Backlog} from '../../web/static/backlog.js';
import {Judge} from '../../web/static/judge.js';
import {NativeWatch} from '../../web/static/native.js';
import {Painter} from '../../web/static/paint.js';

const f = (number, key = false) => ({number: number >>> 0, key});
const numbers = (frames) => frames.map((x) => x.number);

test('in order, from a key frame on', () => {
  const o = new Order();
  assert.deepEqual(o.push(f(4), 0), []);
  assert.deepEqual(numbers(o.push(f(5, true), 1)), [5]);
  assert.deepEqual(numbers(o.push(f(6), 2)), [6]);
  assert.deepEqual(o.push(f(6), 3), [], 'it came twice');
  assert.deepEqual(o.push(f(4), 3), [], 'it is before the key frame');
});

test('a repaired frame is late, and what followed waits for it', () => {
  const o = new Order();
  o.push(f(0, true), 0);
  assert.deepEqual(o.push(f(2), 10), []);
  assert.deepEqual(o.push(f(3), 20), []);
  assert.equal(o.wantsKey(200), false, 'the repair has time');
  assert.deepEqual(numbers(o.push(f(1), 210)), [1, 2, 3]);
  assert.equal(o.wantsKey(10000), false);
  assert.equal(o.lost, 0);
});

test('delta frames that come before their key frame', () => {
  const o = new Order();
  assert.deepEqual(o.push(f(8), 0), []);
  assert.deepEqual(o.push(f(9), 1), []);
  assert.deepEqual(numbers(o.push(f(7, true), 2)), [7, 8, 9]);
});

test('a gap that stays: a key frame is asked for, again and again, and ends it at once', () => {
  const o = new Order({patience: 250, repeat: 1000});
  o.push(f(0, true), 0);
  o.push(f(2), 100);
  assert.equal(o.wantsKey(349), false);
  assert.equal(o.wantsKey(350), true);
  assert.equal(o.wantsKey(351), false);
  assert.equal(o.wantsKey(1350), true);
  assert.deepEqual(o.push(f(3), 1400), []);
  assert.deepEqual(numbers(o.push(f(5, true), 1500)), [5], 'without waiting for frame 4');
  assert.deepEqual(o.push(f(1), 1510), [], 'of no more use');
  assert.deepEqual(numbers(o.push(f(6), 1520)), [6]);
  assert.equal(o.lost, 4);
  assert.equal(o.wantsKey(9999), false);
});

test('numbers wrap around', () => {
  const o = new Order();
  o.push(f(0xfffffffe, true), 0);
  assert.deepEqual(o.push(f(0), 1), []);
  assert.deepEqual(numbers(o.push(f(0xffffffff), 2)), [0xffffffff, 0]);
  assert.deepEqual(numbers(o.push(f(1), 3)), [1]);
});

test('after a decoding error only a key frame helps, and is asked for at once', () => {
  const o = new Order();
  o.push(f(0, true), 0);
  o.broken(50);
  assert.equal(o.wantsKey(50), true);
  assert.deepEqual(o.push(f(1), 60), []);
  assert.deepEqual(numbers(o.push(f(2, true), 70)), [2]);
});

test('what waits is bounded', () => {
  const o = new Order({most: 16});
  o.push(f(0, true), 0);
  for (let n = 2; n < 1000; n++) o.push(f(n), n);
  assert.ok(o.waiting.size <= 17);
});

test('any order of arrival, with losses: never out of order, never without its references', () => {
  let seed = 1;
  const random = (n) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
  for (let round = 0; round < 200; round++) {
    const o = new Order(), out = [];
    const frames = [];
    for (let n = 0; n < 100; n++) if (random(20)) frames.push({at: n + random(round % 12 + 1), frame: f(n, n === 0 || random(25) === 0)});
    const keys = new Set(frames.filter((x) => x.frame.key).map((x) => x.frame.number));
    frames.sort((a, b) => a.at - b.at);
    for (const {frame, at} of frames) out.push(...numbers(o.push(frame, at)));
    out.forEach((n, i) => assert.ok(keys.has(n) || (i > 0 && out[i - 1] === n - 1), `round ${round}: ${n} after ${out[i - 1]}`));
  }
});

function frame({key, number, data, length = HEADER}) {
  const fake = key ? 10 : 1, bytes = new Uint8Array(fake + length + data.length), v = new DataView(bytes.buffer, fake);
  bytes[0] = key ? 0x10 : 0x11;
  v.setUint8(0, 0x48);
  v.setUint8(1, 1);
  v.setUint8(2, key ? 1 : 0);
  v.setUint8(3, length);
  v.setUint32(4, number);
  v.setUint32(8, 2208988800 + 1000);
  v.setUint32(12, 0x80000000);
  v.setUint32(16, 12500);
  v.setUint16(20, 1920);
  v.setUint16(22, 1080);
  v.setUint32(24, data.length);
  bytes.set(data, fake + length);
  return bytes.buffer;
}

test('the header', () => {
  const data = Uint8Array.of(0, 0, 0, 1, 2, 1);
  for (const key of [true, false]) {
    const p = parse(frame({key, number: 7, data}));
    assert.equal(p.key, key);
    assert.equal(p.number, 7);
    assert.equal(p.captured, 1000500);
    assert.equal(p.encodeMs, 12.5);
    assert.deepEqual([p.width, p.height], [1920, 1080]);
    assert.deepEqual([...p.data], [...data]);
  }
  assert.deepEqual([...parse(frame({key: true, number: 7, data, length: 40})).data], [...data], 'a longer header of a later version');
});

test('what is no frame of ours is none', () => {
  const good = frame({key: false, number: 1, data: Uint8Array.of(1, 2, 3)});
  for (let n = 0; n < good.byteLength; n++) assert.equal(parse(good.slice(0, n)), null, `${n} bytes of it`);
  for (const at of [0, 1, 2]) {
    const bad = good.slice(0);
    new Uint8Array(bad)[at] ^= 0xff;
    const p = parse(bad);
    assert.equal(p, null, `byte ${at}`);
  }
});

test('the codec string of an SPS', () => {
  const sps = [0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x7b, 0xa0];
  const au = Uint8Array.of(0, 0, 0, 1, 0x40, 1, 0x0c, 0, 0, 0, 1, ...sps, 0, 0, 1, 0x26, 1, 0xaf);
  assert.equal(codecString(au), 'hev1.1.6.L123.90');
  assert.deepEqual([...nals(au)].map(([type]) => type), [32, 33, 19]);
  assert.equal(codecString(Uint8Array.of(0, 0, 0, 1, 0x26, 1)), null);
  assert.equal(codecString(Uint8Array.of(0, 0, 1, 0x42, 1, 1)), null, 'cut');
});

const waits = (number, arrived, key = false) => ({...f(number, key), arrived});

test('a backlog is worked off in order while it is young', () => {
  const b = new Backlog(800);
  b.push(waits(0, 0, true), waits(1, 33), waits(2, 66));
  assert.deepEqual([0, 1, 2].map((n) => b.next(700 + n).frame.number), [0, 1, 2]);
  assert.deepEqual(b.next(710), {});
  b.push(waits(3, 100));
  assert.equal(b.next(5000).frame.number, 3, 'nothing came after it: late is better than never');
  assert.equal(b.behind, 0);
});

function slow() {
  const b = new Backlog(800);
  for (let i = 0; i < 40; i++) b.took(500, false);
  return b;
}

test('few frames that are late are worked off: a key frame takes long, too', () => {
  const b = new Backlog(800);
  for (let i = 0; i < 40; i++) b.took(20, false);
  b.took(5000, true);
  b.push(...Array.from({length: 30}, (_, n) => waits(n, 33 * n)));
  assert.equal(b.next(5000).frame.number, 0);
  b.push(...Array.from({length: 20}, (_, n) => waits(30 + n, 33 * n + 1000)));
  assert.deepEqual(b.next(5000), {lost: true}, 'so many are not');
});

test('a backlog that is too old goes on at the newest key frame', () => {
  const b = slow();
  b.push(waits(0, 0), waits(1, 10, true), waits(2, 20), waits(3, 30, true), waits(4, 40));
  assert.equal(b.next(801).frame.number, 3);
  assert.equal(b.next(802).frame.number, 4);
  assert.equal(b.behind, 1);
  b.push(waits(5, 1000, true), waits(6, 1010));
  assert.equal(b.next(2000).frame.number, 5, 'it is the key frame that is late: nothing to leave out');
  assert.equal(b.behind, 1);
});

test('a backlog that is too old and has no key frame is dropped, and one is asked for', () => {
  const b = slow();
  b.push(waits(1, 0), waits(2, 33), waits(3, 66));
  assert.deepEqual(b.next(850), {lost: true});
  assert.equal(b.length, 0);
  assert.equal(b.behind, 1);
});

test('native H265 that decodes nothing is given up', () => {
  const n = new NativeWatch(4000);
  assert.equal(n.fault({packetsReceived: 9}, 99999), '', 'no connection yet');
  n.connected(1000);
  assert.equal(n.fault({packetsReceived: 9, framesReceived: 5}, 4999), '');
  assert.match(n.fault({packetsReceived: 9, framesReceived: 5}, 5000), /decoded no picture/);
  assert.match(n.fault({}, 5000), /no picture came/);
});

test('native H265 on a still screen, and one that stops decoding', () => {
  const n = new NativeWatch(4000);
  n.connected(0);
  assert.equal(n.fault({packetsReceived: 9, framesReceived: 2, framesDecoded: 2}, 1000), '');
  assert.equal(n.fault({packetsReceived: 9, framesReceived: 2, framesDecoded: 2}, 60000), '', 'nothing came since');
  assert.match(n.fault({packetsReceived: 99, framesReceived: 42, framesDecoded: 2}, 61000), /40 pictures/);
  n.rest({framesReceived: 42, framesDecoded: 2}, 62000); // nobody looked
  assert.equal(n.fault({packetsReceived: 99, framesReceived: 44, framesDecoded: 2}, 70000), '');
  assert.equal(n.fault({packetsReceived: 99, framesReceived: 60, framesDecoded: 3}, 71000), '');
});

// A display in the place of the browser's: frame() shows what is on the canvas.
function display(t) {
  const asked = [], on = [], answers = [];
  Object.assign(globalThis, {document: {hidden: false}, requestAnimationFrame: (f) => asked.push(f)});
  const context = {drawImage: (frame) => on.push(frame.captured)};
  const painter = new Painter({width: 2, height: 2, getContext: () => context}, (answer) => answers.push(answer.unseen));
  painter.after.port1.close();
  painter.after = {port2: {postMessage: () => painter.seen()}}; // at once
  t.after(() => clearTimeout(painter.timer));
  return {
    on, answers,
    take: (captured) => painter.take({width: 2, height: 2, captured, frame: {captured, close() {}}}),
    frame: () => {
      for (const f of asked.splice(0)) f();
    },
  };
}

test('a late picture and the next one are shown one after the other', (t) => {
  const d = display(t);
  d.take(1000);
  assert.deepEqual(d.on, [1000], 'at once');
  d.take(1033);
  assert.deepEqual(d.on, [1000], 'the first was not seen yet');
  d.frame();
  assert.deepEqual(d.on, [1000, 1033]);
  d.take(1066);
  d.take(1100);
  assert.deepEqual(d.on, [1000, 1033, 1066], 'one waits at most; the one before it has its rows');
  d.frame();
  assert.deepEqual(d.on, [1000, 1033, 1066, 1100]);
  assert.deepEqual(d.answers, [0, 0, 1, 0], 'one was covered before it was seen');
});

test('as fast as the display, in the background, or of unknown time: the newest picture counts', (t) => {
  const d = display(t);
  d.take(1000);
  d.take(1016);
  assert.deepEqual(d.on, [1000, 1016]);
  globalThis.document.hidden = true;
  d.take(1050);
  globalThis.document.hidden = false;
  d.take(0);
  d.take(0);
  assert.deepEqual(d.on, [1000, 1016, 1050, 0, 0]);
});

test('a display that shows nothing does not hold a picture for long', async (t) => {
  const d = display(t);
  d.take(1000);
  d.take(1033);
  for (let i = 0; i < 400 && d.on.length < 2; i++) await new Promise((resolve) => { setTimeout(resolve, 5); });
  assert.deepEqual(d.on, [1000, 1033]);
});

test('a decoder that is slow is changed for the other one, and back where that is slower still', () => {
  const run = (judge, ms, n) => Array.from({length: n}, () => judge.took(ms)).filter((x) => x).length;
  const quick = new Judge(60, 10);
  assert.equal(run(quick, 30, 100), 0);
  assert.equal(run(quick, 100, 10), 1, 'what was quick may become slow');
  const better = new Judge(60, 10);
  assert.equal(run(better, 130, 9), 0);
  assert.equal(better.took(130), true);
  assert.equal(run(better, 20, 100), 0);
  assert.equal(run(better, 500, 100), 0, 'there is no third try');
  const worse = new Judge(60, 10);
  assert.equal(run(worse, 130, 10), 1);
  assert.equal(run(worse, 200, 10), 1);
  assert.equal(run(worse, 130, 100), 0);
  const few = new Judge(60, 10);
  assert.equal([...Array(4).fill(900), ...Array(6).fill(20)].filter((ms) => few.took(ms)).length, 0, 'a few that are slow');
});
