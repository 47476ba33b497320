// Picture in picture. The video element of the native path can do it itself; a canvas needs one that shows it.

export class PictureInPicture {
  // native(): whether the video is what is seen. onChange: it began or ended.
  constructor(canvas, video, native, onChange) {
    Object.assign(this, {canvas, video, native, onChange, copy: null});
    video.addEventListener('enterpictureinpicture', onChange);
    video.addEventListener('leavepictureinpicture', onChange);
  }

  get possible() {
    return document.pictureInPictureEnabled === true && 'requestPictureInPicture' in this.video &&
      (this.native() || 'captureStream' in this.canvas);
  }

  get shown() {
    return Boolean(document.pictureInPictureElement);
  }

  async toggle() {
    if (!this.possible) return;
    try {
      if (this.shown) await document.exitPictureInPicture();
      else if (this.native()) await this.video.requestPictureInPicture();
      else await this.showCanvas();
    } catch (e) {
      console.warn('hevcast: no picture in picture:', e.message);
      this.drop();
    }
  }

  async showCanvas() {
    const copy = this.copy = document.createElement('video');
    copy.muted = copy.playsInline = true;
    copy.srcObject = this.canvas.captureStream();
    copy.addEventListener('leavepictureinpicture', () => {
      this.drop();
      this.onChange();
    });
    await copy.play();
    await copy.requestPictureInPicture();
    this.onChange();
  }

  // Nobody sees the copy any more: capturing costs.
  drop() {
    for (const track of this.copy?.srcObject?.getTracks() ?? []) track.stop();
    this.copy = null;
  }
}
