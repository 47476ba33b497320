// web/static/pieces.js: packets of the audio carrier to frames, with loss, repairs, reordering and repetitions.
import assert from 'node:assert/strict';
import test from 'node:test';
import {Order, parseAt} from '../../web/static/order.js';
import {DESCRIPTOR, Pieces} from '../../web/static/pieces.js';

const packet = (number, piece, pieces, bytes) => {
  const buffer = new ArrayBuffer(DESCRIPTOR + bytes.length), view = new DataView(buffer);
  view.setUint32(0, number);
  view.setUint16(4, piece);
  view.setUint16(6, pieces);
  new Uint8Array(buffer).set(bytes, DESCRIPTOR);
  return buffer;
};
const bytesOf = (number, length) => Uint8Array.from({length}, (_, i) => (i * 7 + number * 13) & 255);
const packetsOf = (number, frame, most = 100) => {
  const pieces = Math.ceil(frame.length / most), size = Math.ceil(frame.length / pieces);
  return Array.from({length: pieces}, (_, i) => packet(number, i, pieces, frame.subarray(i * size, (i + 1) * size)));
};

test('one packet, several packets', () => {
  const p = new Pieces();
  assert.deepEqual(p.push(packet(7, 0, 1, [1, 2, 3]), 0), Uint8Array.of(1, 2, 3));
  const frame = bytesOf(8, 250), [a, b, c] = packetsOf(8, frame);
  assert.equal(p.push(a, 1), null);
  assert.equal(p.push(b, 2), null);
  assert.deepEqual(p.push(c, 3), frame);
  assert.equal(p.bytes, 0);
  assert.equal(p.late, 0);
});

test('what is no packet of a frame', () => {
  const p = new Pieces();
  assert.equal(p.push(new ArrayBuffer(0), 0), null);
  assert.equal(p.push(new ArrayBuffer(DESCRIPTOR), 0), null, 'no bytes');
  assert.equal(p.push(new ArrayBuffer(255), 0), null, 'of no frame');
  assert.equal(p.push(packet(1, 2, 2, [1]), 0), null, 'piece 2 of 2');
  assert.equal(p.frames.size, 0);
  p.push(packet(1, 0, 2, [1]), 0);
  assert.equal(p.push(packet(1, 1, 3, [2]), 0), null, 'it was of two pieces');
  assert.deepEqual(p.push(packet(1, 1, 2, [2]), 0), Uint8Array.of(1, 2));
});

test('any order, and some of them twice', () => {
  let seed = 1;
  const random = (n) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n;
  for (let round = 0; round < 50; round++) {
    const p = new Pieces(), all = [], got = new Map();
    for (let n = 0; n < 20; n++) all.push(...packetsOf(n - 10 >>> 0, bytesOf(n, 1 + random(900))));
    all.push(...Array.from({length: 30}, () => all[random(all.length)]));
    for (let i = all.length - 1; i > 0; i--) {
      const j = random(i + 1);
      [all[i], all[j]] = [all[j], all[i]];
    }
    all.forEach((x, i) => {
      const number = new DataView(x).getUint32(0), frame = p.push(x, i);
      if (!frame) return;
      assert.ok(!got.has(number), 'once');
      got.set(number, frame);
    });
    assert.equal(got.size, 20);
    for (let n = 0; n < 20; n++) assert.deepEqual(got.get(n - 10 >>> 0), bytesOf(n, got.get(n - 10 >>> 0).length));
    assert.equal(p.bytes, 0);
    assert.equal(p.stuckSince(null), null);
    assert.ok(p.late > 0);
  }
});

test('a packet that is missing: since when, and until it is given up', () => {
  const p = new Pieces(), [a, b] = packetsOf(5, bytesOf(5, 150));
  p.push(a, 10);
  assert.equal(p.stuckSince(null), 10);
  assert.ok(p.before(6));
  assert.ok(!p.before(5));
  p.push(packetsOf(6, bytesOf(6, 10))[0], 20);
  assert.equal(p.late, 0);
  assert.equal(p.stuckSince(5), 10);
  assert.equal(p.stuckSince(6), null, 'nobody waits for it');
  assert.equal(p.push(b, 30), null);
  assert.equal(p.bytes, 0);
});

test('a repaired packet counts as late', () => {
  const p = new Pieces(), [a, b, c] = packetsOf(0xffffffff, bytesOf(5, 250));
  p.push(a, 0);
  p.push(c, 1);
  p.push(packetsOf(0, bytesOf(6, 10))[0], 2);
  assert.equal(p.late, 0);
  assert.equal(p.push(b, 3).length, 250);
  assert.equal(p.late, 1);
  p.push(b, 4);
  assert.equal(p.late, 1, 'it came twice');
});

test('memory is bounded', () => {
  const p = new Pieces();
  for (let n = 0; n < 5000; n++) p.push(packet(n, 0, 2, bytesOf(n, 1000)), n);
  assert.ok(p.frames.size <= 1024);
  assert.equal(p.bytes, p.frames.size * 1000);
  const large = new Uint8Array(1 << 20);
  for (let n = 0; n < 200; n++) p.push(packet(10000 + n, 0, 3, large), n);
  for (let n = 0; n < 200; n++) p.push(packet(10000 + n, 1, 3, large), n);
  assert.ok(p.bytes <= 66 << 20, `${p.bytes} bytes`);
});

test('a frame of the carrier out of its packets; a stuck one makes the order ask', () => {
  const frame = new Uint8Array(28 + 300), view = new DataView(frame.buffer);
  frame.set([0x48, 1, 1, 28]);
  view.setUint32(4, 77);
  view.setUint32(24, 300);
  const p = new Pieces(), order = new Order({patience: 250, repeat: 1000});
  let whole = null;
  for (const x of packetsOf(77, frame)) whole = p.push(x, 0) ?? whole;
  const f = parseAt(whole, 0);
  assert.equal(f.number, 77);
  assert.ok(f.key);
  assert.equal(f.data.length, 300);
  assert.deepEqual(order.push(f, 0), [f]);
  p.push(packetsOf(78, frame)[0], 100); // and the rest of it never
  order.stuck(p.stuckSince(order.next));
  assert.equal(order.wantsKey(300), false);
  assert.equal(order.wantsKey(351), true);
  order.stuck(p.stuckSince(order.next));
  assert.equal(order.wantsKey(1000), false);
  assert.equal(order.wantsKey(1351), true);
});
