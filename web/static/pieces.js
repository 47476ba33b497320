// Packets of the audio carrier to frames (doc/carrier.md). They come in any order, some twice, some never.

import {after} from './order.js';

export const DESCRIPTOR = 8;
const KEPT = 1024;           // frames that are remembered, whole or not
const MOST_BYTES = 64 << 20; // in frames that are not whole

export class Pieces {
  constructor() {
    this.frames = new Map(); // by number, the first to come first; null: it was whole
    this.bytes = 0;
    this.late = 0;           // packets that came after one that was sent later: most of them again
    this.newest = null;      // [number, piece]
  }

  // The frame (a Uint8Array) that is whole with this packet, or null. now: milliseconds, of any clock.
  push(buffer, now) {
    if (buffer.byteLength <= DESCRIPTOR) return null;
    const view = new DataView(buffer);
    const number = view.getUint32(0), piece = view.getUint16(4), pieces = view.getUint16(6);
    if (piece >= pieces) return null; // sent to find out what the path carries, say
    const data = new Uint8Array(buffer, DESCRIPTOR);
    let frame = this.frames.get(number);
    if (frame === null || frame?.list[piece]) return null; // it came twice
    this.see(number, piece);
    if (frame === undefined) {
      if (pieces === 1) {
        this.keep(number, null);
        return data;
      }
      frame = {list: new Array(pieces), left: pieces, bytes: 0, at: now};
      this.keep(number, frame);
    }
    if (frame.list.length !== pieces) return null;
    frame.list[piece] = data;
    frame.at = now;
    frame.bytes += data.length;
    this.bytes += data.length;
    if (--frame.left > 0) {
      while (this.bytes > MOST_BYTES) this.forget();
      return null;
    }
    const whole = new Uint8Array(frame.bytes);
    let at = 0;
    for (const part of frame.list) {
      whole.set(part, at);
      at += part.length;
    }
    this.bytes -= frame.bytes;
    this.frames.set(number, null);
    return whole;
  }

  see(number, piece) {
    const [n, p] = this.newest ?? [number, -1];
    if (after(number, n) || (number === n && piece > p)) this.newest = [number, piece];
    else this.late++;
  }

  // Is any packet of a frame before this one there that is not whole yet?
  before(number) {
    for (const [n, frame] of this.frames) if (frame && after(number, n)) return true;
    return false;
  }

  // Since when nothing came of a frame that is not whole: the longest, null: there is none. Those
  // before `next` are given up.
  stuckSince(next) {
    let since = null;
    for (const [n, frame] of this.frames) {
      if (!frame) continue;
      if (next !== null && after(next, n)) {
        this.bytes -= frame.bytes;
        this.frames.set(n, null);
      } else if (since === null || frame.at < since) {
        since = frame.at;
      }
    }
    return since;
  }

  keep(number, frame) {
    this.frames.set(number, frame);
    if (this.frames.size > KEPT) this.forget();
  }

  // The oldest.
  forget() {
    const [number, frame] = this.frames.entries().next().value;
    this.frames.delete(number);
    this.bytes -= frame?.bytes ?? 0;
  }
}
