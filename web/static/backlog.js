// Frames that wait for the decoder. Time is an argument, in milliseconds; nothing here depends on a browser.
//
// A decoder that is too slow is first spared the drawing (worker.js); this is for when that is not enough: the
// delay stays below BEHIND_MS. What is older is left out up to the newest key frame that waits; where none does,
// all of it, and a key frame has to be asked for.
const BEHIND_MS = 800;

export class Backlog {
  constructor(most = BEHIND_MS) {
    this.most = most;
    this.frames = [];
    this.behind = 0; // how often it was so
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

  // {frame}: to be decoded now; {} where none waits; {lost: true}: all were dropped.
  next(now) {
    const {frames} = this;
    if (frames.length === 0) return {};
    if (frames.length > 1 && now - frames[0].arrived > this.most) {
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
