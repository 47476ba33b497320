// ?verify=1, for tests: every drawn picture is checked against the hash that travels with it, the MD5 of
// the decoded picture hash SEI (H.265, sections D.2.19 and D.3.19). Slow, and loaded only then.
import {WasmDecoder} from './wasm.js';

const ROTATIONS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const SINES = Int32Array.from({length: 64}, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));

// RFC 1321: the state, changed by 64 bytes.
function md5Block(state, words) {
  let [a, b, c, d] = state;
  for (let i = 0; i < 64; i++) {
    const round = i >> 4;
    let f, g;
    if (round === 0) { f = b & c | ~b & d; g = i; }
    else if (round === 1) { f = d & b | ~d & c; g = 5 * i + 1 & 15; }
    else if (round === 2) { f = b ^ c ^ d; g = 3 * i + 5 & 15; }
    else { f = c ^ (b | ~d); g = 7 * i & 15; }
    const sum = a + f + SINES[i] + words[g] | 0, r = ROTATIONS[round][i & 3];
    a = d;
    d = c;
    c = b;
    b = b + (sum << r | sum >>> 32 - r) | 0;
  }
  state[0] = state[0] + a | 0;
  state[1] = state[1] + b | 0;
  state[2] = state[2] + c | 0;
  state[3] = state[3] + d | 0;
}

export function md5(bytes) {
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  const padded = new Uint8Array((bytes.length + 8 >> 6) + 1 << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer), words = new Int32Array(16);
  view.setUint32(padded.length - 8, bytes.length << 3, true);
  view.setUint32(padded.length - 4, bytes.length >>> 29, true);
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i, true);
    md5Block(state, words);
  }
  return [...new Uint8Array(state.buffer)].map((v) => v.toString(16).padStart(2, '0')).join('');
}

// The MD5 of each plane that an access unit's suffix SEI has, or null.
export function hashesOf(data) {
  for (let i = data.length - 4; i >= 0; i--) { // it is behind the slices
    if (data[i] !== 0 || data[i + 1] !== 0 || data[i + 2] !== 1 || (data[i + 3] >> 1 & 63) !== 40) continue;
    const b = []; // without emulation prevention bytes
    for (let k = i + 5, zeros = 0; k < data.length && b.length < 60; k++) {
      if (zeros >= 2 && data[k] === 3) { zeros = 0; continue; }
      zeros = data[k] === 0 ? zeros + 1 : 0;
      b.push(data[k]);
    }
    if (b[0] !== 132 || b[2] !== 0) return null; // decoded picture hash; MD5
    const planes = b[1] - 1 >> 4;
    return Array.from({length: planes}, (_, p) => b.slice(3 + 16 * p, 19 + 16 * p)
      .map((v) => v.toString(16).padStart(2, '0')).join(''));
  }
  return null;
}

function tight(plane) {
  const {data, stride, width, height} = plane;
  const out = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) out.set(data.subarray(row * stride, row * stride + width), row * width);
  return out;
}

// A browser that hands out no planes: its picture against that of the same access unit from the
// other decoder, whose planes have the right hash. Rounding differs, and how chroma is
// interpolated; a block of pixels that is wrong has another mean.
const BLOCK = 16, MOST = 24;

function alike(a, b, width, height) {
  for (let y = 0; y + BLOCK <= height; y += BLOCK) {
    for (let x = 0; x + BLOCK <= width; x += BLOCK) {
      const sums = [0, 0, 0];
      for (let j = 0; j < BLOCK; j++) {
        for (let i = 0; i < BLOCK; i++) {
          const at = 4 * ((y + j) * width + x + i);
          for (let c = 0; c < 3; c++) sums[c] += a[at + c] - b[at + c];
        }
      }
      if (sums.some((s) => Math.abs(s) > MOST * BLOCK * BLOCK)) return false;
    }
  }
  return true;
}

export class Verifier {
  constructor() {
    this.good = this.bad = this.without = 0;
    this.shadow = null; // the other decoder
    this.pictures = new Map(); // what it made: RGBA by frame number
  }

  static async make(shadowed) {
    const v = new Verifier();
    if (shadowed) v.shadow = await WasmDecoder.make();
    return v;
  }

  count(right) {
    if (right === null) this.without++;
    else if (right) this.good++;
    else this.bad++;
  }

  hashed(picture, frame) {
    const wanted = hashesOf(frame.data);
    if (!wanted) return null;
    return wanted.length === picture.planes.length && picture.planes.every((p, i) => md5(tight(p)) === wanted[i]);
  }

  // Before a decoder that hands out no planes gets the frame.
  before(frame) {
    this.shadow?.decode(frame, (picture) => {
      const right = this.hashed(picture, frame);
      this.pictures.set(frame.number, {right, rgba: right ? picture.rgba(0, picture.height).slice() : null});
    });
  }

  // Of a picture that is drawn now.
  drawn(picture, frame) {
    if (picture.planes) {
      this.count(this.hashed(picture, frame));
      return;
    }
    const other = this.pictures.get(frame.number);
    for (const n of this.pictures.keys()) if (n <= frame.number) this.pictures.delete(n);
    if (!other?.right) {
      this.count(other ? other.right : null);
      return;
    }
    let pixels = picture.rgba?.(0, picture.height);
    if (!pixels) {
      const c = new OffscreenCanvas(picture.width, picture.height).getContext('2d', {willReadFrequently: true});
      c.drawImage(picture.frame, 0, 0);
      pixels = c.getImageData(0, 0, picture.width, picture.height).data;
    }
    this.count(alike(pixels, other.rgba, picture.width, picture.height));
  }
}
