// Which of two decoders is to be used: the browser's own is taken first, and ours where it turns out to be slow. Some
// give a picture only when several more have come, or make their pictures in software one by one and copy them twice. Time is
// an argument; nothing here depends on a browser.
const SLOW_MS = 60, MANY = 40; // key frames count as others do: the middle one is looked at

export class Judge {
  constructor(slow = SLOW_MS, many = MANY) {
    this.slow = slow;
    this.many = many;
    this.times = [];
    this.first = null; // what the first one takes, once the second is tried
    this.settled = false;
  }

  // A picture took the decoder that is in use so long. True: go over to the other one.
  took(ms) {
    if (this.settled) return false;
    this.times.push(ms);
    if (this.times.length < this.many) return false;
    const middle = this.times.sort((a, b) => a - b)[this.many >> 1];
    this.times = [];
    if (this.first === null) {
      if (middle <= this.slow) return false; // what it will take later, is seen later
      this.first = middle;
      return true;
    }
    this.settled = true;
    return middle > this.first;
  }
}
