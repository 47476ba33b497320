// web/static/reader.js as it is, with streams and a port in the place of the browser's: packets of the audio carrier in,
// whole frames and what is missing out, one connection after another.
import assert from 'node:assert/strict';
import test from 'node:test';
import {DESCRIPTOR} from '../../web/static/pieces.js';

let tick = null, clock = 1000;
const said = [], port = {postMessage: (message, transferred = []) => said.push({...message, transferred})};
globalThis.self = globalThis;
globalThis.performance = {timeOrigin: 5000, now: () => clock};
const {setInterval: timer} = globalThis;
globalThis.setInterval = (f) => { tick = f; };
await import('../../web/static/reader.js');
globalThis.setInterval = timer;
const ready = [];
globalThis.postMessage = (message) => ready.push(message.ready);
const heard = () => said.splice(0);
const settled = () => new Promise((resolve) => { setImmediate(resolve); });

// The packets of a frame of the carrier, whose header says key or not.
function packetsOf(number, {key = false, length = 250, most = 100} = {}) {
  const frame = new Uint8Array(28 + length).fill(number), head = new DataView(frame.buffer);
  frame.set([0x48, 1, key ? 1 : 0, 28]);
  head.setUint32(4, number);
  head.setUint32(24, length);
  const pieces = Math.ceil(frame.length / most);
  return Array.from({length: pieces}, (_, i) => {
    const data = frame.subarray(i * most, (i + 1) * most), view = new DataView(new ArrayBuffer(DESCRIPTOR + data.length));
    view.setUint32(0, number);
    view.setUint16(4, i);
    view.setUint16(6, pieces);
    new Uint8Array(view.buffer).set(data, DESCRIPTOR);
    return view.buffer;
  });
}

// A receiver's transform: push() and end() are what the browser does.
function connection(number) {
  let controller = null;
  const readable = new ReadableStream({start: (c) => { controller = c; }});
  self.onrtctransform({transformer: {options: {connection: number}, readable}});
  return {
    push: async (...packets) => {
      for (const data of packets) controller.enqueue({data});
      await settled();
    },
    end: () => controller.close(),
  };
}

test('before anything came, nothing is said', () => {
  tick();
  assert.deepEqual(heard(), []);
});

let first = null;
test('a whole frame goes on, with the time of its last packet, its bytes transferred', async () => {
  self.onmessage({data: {port}});
  first = connection(1);
  assert.deepEqual(heard(), [{connection: 1, stuck: null, late: 0, transferred: []}], 'the page is to know that it is there');
  assert.deepEqual(ready, [1], 'and that packets may come');
  const [a, b, c] = packetsOf(7, {key: true});
  await first.push(a, b);
  assert.deepEqual(heard(), []);
  clock = 1020;
  await first.push(c);
  const [{connection: from, frame, first: before, transferred}] = heard();
  assert.equal(from, 1);
  assert.deepEqual([frame.number, frame.key, frame.arrived, before], [7, true, 6020, true]);
  assert.deepEqual(frame.data, new Uint8Array(250).fill(7));
  assert.deepEqual(transferred, [frame.data.buffer]);
});

test('one packet that is a frame is not copied', async () => {
  const [only] = packetsOf(8, {length: 10});
  await first.push(only);
  const [{frame, transferred}] = heard();
  assert.equal(frame.data.buffer, only);
  assert.deepEqual(transferred, [only]);
});

test('what is no frame of the carrier is left out', async () => {
  const [bad] = packetsOf(9, {length: 10});
  new Uint8Array(bad)[DESCRIPTOR] ^= 0xff;
  await first.push(bad, new ArrayBuffer(3));
  assert.deepEqual(heard(), []);
});

test('a frame in part: since when, that others wait for it, and what came late', async () => {
  clock = 1050;
  tick();
  heard();
  const [a, b, c] = packetsOf(10), [d] = packetsOf(11, {length: 10});
  await first.push(a, c);
  clock = 1060;
  await first.push(d);
  const [whole] = heard();
  assert.deepEqual([whole.frame.number, whole.first], [11, false]);
  clock = 1100;
  tick();
  assert.deepEqual(heard(), [{connection: 1, stuck: 6050, late: 0, transferred: []}]);
  await first.push(b);
  clock = 1150;
  tick();
  const [repaired, now] = heard();
  assert.equal(repaired.frame.number, 10);
  assert.deepEqual([now.stuck, now.late], [null, 1]);
});

test('a key frame makes what is before it needless', async () => {
  await first.push(packetsOf(12)[0], packetsOf(14)[0], ...packetsOf(13, {key: true}));
  clock = 1200;
  await first.push(packetsOf(14)[1]);
  heard();
  tick();
  assert.equal(heard()[0].stuck, 6200, 'that of frame 14');
});

test('one that was kept from its work says nothing of what is stuck: the rest may wait unread', () => {
  clock = 1500;
  tick();
  assert.deepEqual(heard(), []);
  clock = 1550;
  tick();
  assert.equal(heard()[0].stuck, 6200);
});

test('another connection takes its place, and an older one does not come back', async () => {
  const second = connection(2);
  heard();
  await first.push(...packetsOf(15));
  assert.deepEqual(heard().filter((x) => x.frame && x.connection === 2), []);
  connection(1);
  assert.deepEqual(heard(), []);
  await second.push(...packetsOf(3));
  const [{connection: from, frame, first: before}] = heard();
  assert.deepEqual([from, frame.number, before], [2, 3, true], 'nothing of the first is mixed in');
  second.end();
  await settled();
  clock = 1600;
  tick();
  assert.deepEqual(heard(), [], 'it has ended');
});
