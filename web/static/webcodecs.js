// The browser's own decoder, through WebCodecs. See wasm.js for what a decoder is.
import {codecString} from './annexb.js';

const configOf = (codec) => ({codec, optimizeForLatency: true});

export async function webCodecsTakesHevc(codec = 'hev1.1.6.L123.B0') {
  if (typeof VideoDecoder === 'undefined') return false;
  try {
    return (await VideoDecoder.isConfigSupported(configOf(codec))).supported === true;
  } catch {
    return false;
  }
}

export class WebCodecsDecoder {
  name = 'WebCodecs';

  // onPicture is called later; onError once, when this decoder is of no more use.
  constructor(onPicture, onError) {
    this.codec = null;
    this.started = new Map();
    this.count = 0;
    this.decoder = new VideoDecoder({
      output: (frame) => {
        const began = this.started.get(frame.timestamp);
        for (const t of this.started.keys()) if (t <= frame.timestamp) this.started.delete(t);
        onPicture({width: frame.displayWidth, height: frame.displayHeight, frame}, began);
      },
      error: (e) => onError(e),
    });
  }

  get waiting() {
    return this.decoder.decodeQueueSize;
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
