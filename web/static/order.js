// Frames of the carrier, in order. A browser hands them on as they are complete, so that a frame
// whose packet was lost and came again is late; what follows needs it.
// Time is an argument, in milliseconds; nothing here depends on a browser.

export const HEADER = 28;
const MAGIC = 0x48, VERSION = 1, FLAG_KEY = 1, FLAG_REFINEMENT = 2;

// A frame's own header (doc/carrier.md) behind the fake VP8 one, or null when it is none of ours.
export function parse(buffer) {
  const bytes = new Uint8Array(buffer);
  // The lowest bit of a VP8 frame header says "not a key frame" (RFC 6386, section 9.1).
  return parseAt(bytes, bytes.length > 0 && bytes[0] & 1 ? 1 : 10);
}

// The same of a frame (bytes) that begins with so many others.
export function parseAt(bytes, fake) {
  if (bytes.length < fake + HEADER || bytes[fake] !== MAGIC || bytes[fake + 1] !== VERSION) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + fake);
  const length = view.getUint8(3), size = view.getUint32(24);
  if (length < HEADER || bytes.length !== fake + length + size) return null;
  const seconds = view.getUint32(8), fraction = view.getUint32(12);
  return {
    key: (view.getUint8(2) & FLAG_KEY) !== 0,
    refinement: (view.getUint8(2) & FLAG_REFINEMENT) !== 0,
    number: view.getUint32(4),
    // Unix time in milliseconds; NTP begins in 1900. 0: unknown.
    captured: seconds === 0 ? 0 : (seconds - 2208988800) * 1000 + fraction / 4294967.296,
    encodeMs: view.getUint32(16) / 1000,
    width: view.getUint16(20),
    height: view.getUint16(22),
    data: bytes.subarray(fake + length),
  };
}

export const after = (a, b) => ((a - b) | 0) > 0; // numbers wrap around at 32 bits

export class Order {
  // patience: how long a gap may wait for its repair before a key frame is asked for.
  constructor({patience = 250, repeat = 1000, most = 512} = {}) {
    this.patience = patience;
    this.repeat = repeat;
    this.most = most;
    this.asked = -Infinity;
    this.lost = 0; // frames that never came
    this.reset();
  }

  // From now on only a key frame helps.
  reset() {
    this.next = null;
    this.waiting = new Map();
    this.since = null; // when the gap, or the want of a key frame, was noticed
  }

  // The frames that can be decoded now, in order. Each has all that it refers to.
  push(frame, now) {
    const {number} = frame;
    if (this.next !== null && (number === this.next || after(number, this.next))) {
      if (frame.key && number !== this.next) {
        this.lost += (number - this.next) >>> 0; // it makes all before it needless
        this.next = number;
      }
    } else if (this.next === null && frame.key) {
      this.next = number;
    } else if (this.next !== null) {
      return []; // it was given up, or came twice
    }
    this.waiting.set(number, frame);
    const out = [];
    if (this.next !== null) {
      for (let f; (f = this.waiting.get(this.next)); this.next = (this.next + 1) >>> 0) {
        this.waiting.delete(this.next);
        out.push(f);
      }
      for (const n of this.waiting.keys()) if (!after(n, this.next)) this.waiting.delete(n);
    }
    if (this.waiting.size > this.most) this.reset();
    if (out.length > 0) this.since = null;
    if (this.since === null && (this.next === null || this.waiting.size > 0)) this.since = now;
    return out;
  }

  // A frame is there in part, and nothing of it has come since then.
  stuck(since) {
    if (since !== null && this.since === null) this.since = since;
  }

  // A repair cannot be on its way.
  hurry(now) {
    this.since = now - this.patience;
  }

  // The decoder could not use what it got.
  broken(now) {
    this.reset();
    this.hurry(now);
  }

  // Whether to ask for a key frame now.
  wantsKey(now) {
    if (this.since === null || now - this.since < this.patience || now - this.asked < this.repeat) return false;
    this.asked = now;
    return true;
  }
}
