// Off the main thread, and off the decoder's: reads the packets of the audio carrier and puts frames together. A
// browser drops what is not read in time, and a packet has less of that than a frame: nothing else runs here.
//
// From the page: {port}, to the decoding worker
// To the page:   {ready: connection}: packets that come from now on are read
// To that:       {connection, frame, first}: a whole frame (order.js), its data transferred. first: nothing of one before it waits
//                {connection, stuck, late}: every TICK_MS; stuck: since when nothing came of a frame that is not whole, or
//                null; late: how many packets came after one that was sent later
// Times are Unix times in milliseconds, as each worker counts from its own start. What is said stays in order: with
// a tick the decoding worker knows all that was whole before it.
import {after, parseAt} from './order.js';
import {Pieces} from './pieces.js';

const TICK_MS = 50;

const unixMs = () => performance.timeOrigin + performance.now();
let port = null, newest = 0, packets = null;

self.onmessage = ({data}) => {
  if (data.port) ({port} = data);
};

class Packets {
  constructor(connection) {
    Object.assign(this, {connection, pieces: new Pieces(), key: null, ticked: unixMs()});
  }

  // None goes on to the browser's own receiver: there is nothing to be heard.
  take(packet) {
    const arrived = unixMs();
    const whole = this.pieces.push(packet, arrived), frame = whole && parseAt(whole, 0);
    if (!frame) return;
    const {number} = frame;
    // What is before a key frame is not missed any more.
    if (frame.key && (this.key === null || after(number, this.key))) this.key = number;
    const first = !this.pieces.before(number);
    port.postMessage({connection: this.connection, frame: {...frame, arrived}, first}, [frame.data.buffer]);
  }

  tick() {
    const now = unixMs(), late = now - this.ticked > 2 * TICK_MS; // what came meanwhile is not read yet
    this.ticked = now;
    if (late) return;
    port.postMessage({connection: this.connection, stuck: this.pieces.stuckSince(this.key), late: this.pieces.late});
  }
}

self.onrtctransform = async ({transformer}) => {
  const {connection} = transformer.options;
  if (connection < newest) return;
  newest = connection;
  const mine = packets = new Packets(connection), reader = transformer.readable.getReader();
  mine.tick();
  self.postMessage({ready: connection});
  try {
    for (let r; mine === packets && !(r = await reader.read()).done;) mine.take(r.value.data);
  } catch {
    // The connection has ended; the page knows.
  }
  if (mine === packets) packets = null;
};

setInterval(() => packets?.tick(), TICK_MS);
