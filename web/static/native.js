// The browser's own H265: negotiated, and still black, is seen with decoders that are there and do not work.
// Time is an argument, in milliseconds; nothing here depends on a browser.
const PATIENCE_MS = 4000;
const FRAMES = 3; // that came meanwhile: a still screen sends none

export class NativeWatch {
  constructor(patience = PATIENCE_MS) {
    this.patience = patience;
    this.seen = null; // {frames, decoded, at}: when a picture was decoded last, or the connection came about
  }

  // Another connection came about.
  connected(now) {
    this.seen = {frames: 0, decoded: 0, at: now};
  }

  // Nobody looks: then a browser need not decode.
  rest({framesReceived = 0, framesDecoded = 0}, now) {
    this.seen = {frames: framesReceived, decoded: framesDecoded, at: now};
  }

  // inbound: the statistics of the stream (RTCInboundRtpStreamStats). What is wrong, in words, or ''.
  fault({framesReceived = 0, framesDecoded = 0, packetsReceived = 0}, now) {
    const {seen} = this;
    if (!seen) return '';
    if (framesDecoded > seen.decoded) {
      this.seen = {frames: framesReceived, decoded: framesDecoded, at: now};
      return '';
    }
    if (now - seen.at < this.patience) return '';
    const frames = framesReceived - seen.frames;
    if (seen.decoded === 0) {
      return packetsReceived > 0 ? 'it got the stream and decoded no picture' : 'no picture came';
    }
    return frames >= FRAMES ? `it stopped decoding; ${frames} pictures came since` : '';
  }
}
