// Pictures that the worker made, put on the page's canvas (draw.js says why not there).
//
// A canvas shows what was put on it last before the display's next frame. Two pictures may come within one of
// them though they were captured further apart: the first was late. Then the second waits until the first was
// seen. Of pictures that follow each other as fast as the display, the newest counts.
const SLOW_MS = 25;   // captured so far apart, pictures leave the display time to make up for it
const PATIENCE_MS = 50; // without a frame of the display: nobody looks

export class Painter {
  // answer({buffer, at, ms, unseen}, transferred): a picture is on the canvas. at: Unix time in ms; unseen: how many
  // were not to be seen for it.
  constructor(canvas, answer) {
    Object.assign(this, {canvas, answer, context: null, held: null, unseen: false, captured: 0, timer: 0});
    this.after = new MessageChannel();
    this.after.port1.onmessage = () => this.seen();
  }

  take(picture) {
    const apart = picture.captured - this.captured;
    this.captured = picture.captured;
    if (this.held) this.release(1); // it has the rows that changed then
    if (this.unseen && !document.hidden && apart > SLOW_MS && apart < 1000) this.held = picture;
    else this.put(picture, 0);
  }

  release(missed) {
    const {held} = this;
    this.held = null;
    this.put(held, missed);
  }

  put({width, height, rows, buffer, frame}, missed) {
    const {canvas} = this, began = performance.now();
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    this.context ??= canvas.getContext('2d', {alpha: false});
    if (frame) {
      this.context.drawImage(frame, 0, 0, width, height);
      frame.close();
    } else {
      for (const [from, to] of rows) {
        const pixels = new Uint8ClampedArray(buffer, from * width * 4, (to - from) * width * 4);
        this.context.putImageData(new ImageData(pixels, width, to - from), 0, from);
      }
    }
    const ended = performance.now();
    this.answer({buffer, at: performance.timeOrigin + ended, ms: ended - began, unseen: missed}, buffer ? [buffer] : []);
    this.watch();
  }

  // Until the display has shown what is on the canvas.
  watch() {
    if (this.unseen) return;
    this.unseen = true;
    this.timer = setTimeout(() => this.seen(), PATIENCE_MS);
    // The callback comes before this frame is made; a message after it.
    requestAnimationFrame(() => this.after.port2.postMessage(0));
  }

  seen() {
    clearTimeout(this.timer);
    this.unseen = false;
    if (this.held) this.release(0);
  }
}
