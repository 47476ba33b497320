// libde265, compiled to WebAssembly (web/decoder), as a decoder of this page.
//
// A decoder has: name, decode(frame, onPicture) and close(). decode throws when the stream has to
// start again at a key frame. A picture has width, height, and planes or a frame for draw.js.

let compiled = null;

// Begins to fetch and compile; at once, so that it is ready when the first frame comes.
export function warmUp() {
  compiled ??= (async () => {
    const response = await fetch(new URL('./hevc.wasm', import.meta.url));
    if (!response.ok) throw new Error('this share was built without its own HEVC decoder');
    return WebAssembly.compileStreaming(response);
  })();
  compiled.catch(() => {});
  return compiled;
}

// An instance's functions (web/decoder).
async function instance() {
  const module = await warmUp();
  // It does nothing but compute: what its C library could ask of a system is refused.
  const imports = {};
  for (const {module: from, name} of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
  const wasm = (await WebAssembly.instantiate(module, imports)).exports;
  wasm._initialize();
  return wasm;
}

// Undoes Firefox's conversion of WebCodecs pictures (hv_mend_blue in web/decoder/pixels.cc).
export class BlueMender {
  static async make() {
    const m = new BlueMender();
    m.wasm = await instance();
    return m;
  }

  // The pixels of a VideoFrame in BGRX, as RGBA; valid until the next call.
  async rgba(frame, width, height) {
    const {wasm} = this, at = wasm.hv_pixels(width * height);
    if (!at) throw new Error('there is no memory for a picture');
    const pixels = new Uint8ClampedArray(wasm.memory.buffer, at, 4 * width * height);
    await frame.copyTo(pixels, {rect: {x: frame.visibleRect.x, y: frame.visibleRect.y, width, height},
      layout: [{offset: 0, stride: 4 * width}]});
    wasm.hv_mend_blue(at, width * height);
    return pixels;
  }
}

export class WasmDecoder {
  name = 'WebAssembly';
  planes = true;

  static async make() {
    const d = new WasmDecoder();
    d.wasm = await instance();
    if (!d.wasm.hv_reset()) throw new Error('there is no memory for the decoder');
    return d;
  }

  decode(frame, onPicture) {
    const {wasm} = this, {data} = frame;
    const at = wasm.hv_input(data.length);
    if (!at) throw new Error('there is no memory for a picture');
    new Uint8Array(wasm.memory.buffer, at, data.length).set(data);
    const error = wasm.hv_decode(data.length);
    if (error) {
      wasm.hv_reset();
      throw new Error(`libde265 says ${error}`);
    }
    for (let info; (info = wasm.hv_picture());) onPicture(this.picture(info));
  }

  // Valid until the next decode.
  picture(info) {
    const {wasm} = this;
    const [width, height, chroma, bits, full, matrix, ...plane] = new Int32Array(wasm.memory.buffer, info, 18);
    if (bits !== 8) throw Object.assign(new Error('its pictures have more than 8 bits'), {unable: true});
    const planes = [];
    for (let i = 0; i < (chroma === 0 ? 1 : 3); i++) {
      const [start, stride, w, h] = plane.slice(4 * i, 4 * i + 4);
      // What is asked of the module meanwhile may let its memory grow, which makes older views useless.
      planes.push({stride, width: w, height: h, get data() { return new Uint8Array(wasm.memory.buffer, start, stride * h); }});
    }
    return {
      width, height, chroma, full: full !== 0, bt601: matrix === 5 || matrix === 6, planes,
      // The rows that are new since this was asked last: [[from, to], …].
      changed: () => {
        const at = wasm.hv_changed(), bands = new Int32Array(wasm.memory.buffer, at, 17);
        return Array.from({length: bands[0]}, (_, i) => [bands[1 + 2 * i], bands[2 + 2 * i]]);
      },
      // These rows as RGBA, for a page without WebGL; valid until the next call.
      rgba: (from, to) => {
        const p = wasm.hv_rgba(from, to);
        if (!p) throw new Error('there is no memory for a picture');
        return new Uint8ClampedArray(wasm.memory.buffer, p, width * (to - from) * 4);
      },
    };
  }

  close() {
    this.wasm = null;
  }
}
