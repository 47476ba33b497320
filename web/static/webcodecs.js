// The browser's own decoder, through WebCodecs. See wasm.js for what a decoder is.
import {codecString} from './annexb.js';
import {BlueMender} from './wasm.js';

const configOf = (codec) => ({codec, optimizeForLatency: true});

// A key frame of 64x64 pixels, all of the blue 0, 0, 255 (BT.709, limited range).
const BLUE_CODEC = 'hev1.1.6.L30.90';
const BLUE = 'AAAAAUABDAH//wFgAAADAJAAAAMAAAMAHpWYCQAAAAFCAQEBYAAAAwCQAAADAAADAB6gIIEFllZqvK5qAgICCAAAAwAIAAADAMhAAAAAAUQB' +
  'wXGjEgAAASgBrwVyFkc0f5un90et3v6AX//tGhGd+bLB6Ft3vQOqPSaAZ7UdvozoQC/fFFmjMA==';
const PATIENCE_MS = 3000;
// Frames that the decoder may hold, and pictures that may wait to be drawn: more only adds delay. A decoder that
// gives nothing out before it has several is let have them.
const MOST_QUEUED = 2, MOST_IN = 16;

// The colour that the browser makes of it: [red, green, blue, format]. Rejected: it cannot.
function blueOf() {
  const data = Uint8Array.from(atob(BLUE), (c) => c.charCodeAt(0));
  return new Promise((resolve, reject) => {
    const give = (then, what) => {
      clearTimeout(timer);
      then(what);
      if (decoder.state !== 'closed') decoder.close();
    };
    const timer = setTimeout(() => give(reject, new Error('it does not answer')), PATIENCE_MS);
    const decoder = new VideoDecoder({
      output: (frame) => {
        const c = new OffscreenCanvas(64, 64).getContext('2d', {willReadFrequently: true});
        c.drawImage(frame, 0, 0);
        const [red, green, blue] = c.getImageData(32, 32, 1, 1).data;
        const {format} = frame;
        frame.close();
        give(resolve, [red, green, blue, format]);
      },
      error: (e) => give(reject, e),
    });
    decoder.configure(configOf(BLUE_CODEC));
    decoder.decode(new EncodedVideoChunk({type: 'key', timestamp: 0, data}));
    decoder.flush().catch(() => {});
  });
}

// What this browser's decoder is good for: null (nothing, or it says so and shows something else),
// or {mender}, which is there when its blue has to be mended.
let known = null;

export function webCodecsForHevc() {
  known ??= find();
  return known;
}

async function find() {
  if (typeof VideoDecoder === 'undefined') return null;
  try {
    if (!(await VideoDecoder.isConfigSupported(configOf('hev1.1.6.L123.B0'))).supported) return null;
    const [red, green, blue, format] = await blueOf();
    if (red > 48 || green > 48 || blue < 208) throw new Error(`blue comes out as ${red}, ${green}, ${blue}`);
    const weak = /^BGR[AX]$/.test(format) && blue > 238 && blue < 249;
    return {mender: weak ? await BlueMender.make().catch(() => null) : null};
  } catch (e) {
    console.warn('hevcast: WebCodecs takes HEVC, but:', e.message);
    return null;
  }
}

// The highest level_idc that is decoded here, for the share: it gives the picture buffer its size by it. Our own
// decoder takes any.
export async function levelOfHevc() {
  if (typeof VideoDecoder === 'undefined') return 186;
  try {
    const takes = async (level) => (await VideoDecoder.isConfigSupported(configOf(`hev1.1.6.L${level}.B0`))).supported;
    if (!(await takes(123))) return 186;
    for (const level of [186, 180, 156, 153, 150]) if (await takes(level)) return level;
  } catch { /* an old browser */ }
  return 123;
}

export class WebCodecsDecoder {
  name = 'WebCodecs';

  // onPicture is called later, with null for a picture that needless() says is not to be drawn; onError
  // once, when this decoder is of no more use; onRoom when it is full no longer.
  // ready(): null, or a promise of when the next picture can be drawn.
  constructor({mender}, needless, ready, onPicture, onError, onRoom) {
    this.mender = mender;
    this.needless = needless;
    this.ready = ready;
    this.onPicture = onPicture;
    this.onRoom = onRoom;
    this.codec = null;
    this.started = new Map();
    this.count = this.given = 0;
    this.mending = Promise.resolve();
    this.inMending = 0;
    this.decoder = new VideoDecoder({
      output: (frame) => {
        this.inMending++;
        this.given++;
        this.mending = this.mending.then(() => this.give(frame)).catch(onError);
      },
      error: (e) => onError(e),
    });
    this.decoder.ondequeue = onRoom;
  }

  get full() {
    return this.decoder.decodeQueueSize > MOST_QUEUED || this.inMending > MOST_QUEUED || this.started.size > MOST_IN;
  }

  // Frames go in, and nothing comes out: seen with decoders that are there and do not work.
  get stuck() {
    const [first] = this.started.values();
    return this.inMending === 0 && (this.given === 0 || this.full) && first !== undefined && performance.now() - first.at > PATIENCE_MS;
  }

  get waiting() {
    return this.decoder.decodeQueueSize + this.inMending;
  }

  async give(frame) {
    const began = this.started.get(frame.timestamp);
    for (const t of this.started.keys()) if (t <= frame.timestamp) this.started.delete(t);
    const {displayWidth: width, displayHeight: height} = frame;
    try {
      await this.ready();
      if (this.needless(this.waiting - 1)) {
        this.onPicture(null, began);
      } else if (this.mender && /^BGR[AX]$/.test(frame.format)) {
        const pixels = await this.mender.rgba(frame, width, height);
        this.onPicture({width, height, rgba: (from, to) => pixels.subarray(4 * width * from, 4 * width * to)}, began);
      } else {
        this.onPicture({width, height, frame}, began);
      }
    } finally {
      this.inMending--;
      frame.close();
      this.onRoom();
    }
  }

  decode(frame) {
    if (frame.key) {
      const codec = codecString(frame.data);
      if (!codec) throw new Error('a key frame has no SPS');
      if (codec !== this.codec) this.decoder.configure(configOf(codec));
      this.codec = codec;
    }
    const timestamp = this.count++ * 1000; // only an order
    this.started.set(timestamp, {frame, at: performance.now()});
    this.decoder.decode(new EncodedVideoChunk({type: frame.key ? 'key' : 'delta', timestamp, data: frame.data}));
  }

  close() {
    if (this.decoder.state !== 'closed') this.decoder.close();
  }
}
