// Frames that wait for the decoder. Time is an argument, in milliseconds; nothing here depends on a browser.
//
// A decoder that is too slow is first spared the drawing (worker.js). This is for when that is not enough: where the
// oldest frame waits for BEHIND_MS, and all that wait would take as long again, they are left out up to the newest key
// frame among them; where none is, all of them, and a key frame has to be asked for. Few frames that are late are worked
// off: a key frame costs more, and where it takes long to decode, what came meanwhile would ask for the next one.
const BEHIND_MS = 800;

export class Backlog {
  constructor(most = BEHIND_MS) {
    this.most = most;
    this.frames = [];
    this.behind = 0; // how often it was so
    this.each = 0;   // milliseconds that a frame takes, about
  }

  get length() {
    return this.frames.length;
  }

  push(...frames) {
    this.frames.push(...frames);
  }

  clear() {
    this.frames = [];
  }

  // A frame took so long.
  took(ms, key) {
    if (!key) this.each += (ms - this.each) / 8;
  }

  // {frame}: to be decoded now; {} where none waits; {lost: true}: all were dropped.
  next(now) {
    const {frames} = this;
    if (frames.length === 0) return {};
    if (frames.length > 1 && now - frames[0].arrived > this.most && frames.length * this.each > this.most) {
      let key = frames.length - 1;
      while (key > 0 && !frames[key].key) key--;
      if (key > 0 || !frames[0].key) this.behind++;
      if (!frames[key].key) {
        this.clear();
        return {lost: true};
      }
      frames.splice(0, key);
    }
    return {frame: frames.shift()};
  }
}
