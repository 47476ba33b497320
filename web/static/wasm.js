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

export class WasmDecoder {
  name = 'WebAssembly';

  static async make() {
    const module = await warmUp();
    // The decoder does nothing but compute: what its C library could ask of a system is refused.
    const imports = {};
    for (const {module: from, name} of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
    const d = new WasmDecoder();
    d.wasm = (await WebAssembly.instantiate(module, imports)).exports;
    d.wasm._initialize();
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
  picture(at) {
    const {wasm} = this, {buffer} = wasm.memory;
    const [width, height, chroma, bits, full, matrix, ...plane] = new Int32Array(buffer, at, 18);
    if (bits !== 8) throw Object.assign(new Error('its pictures have more than 8 bits'), {unable: true});
    const planes = [];
    for (let i = 0; i < (chroma === 0 ? 1 : 3); i++) {
      const [start, stride, w, h] = plane.slice(4 * i, 4 * i + 4);
      planes.push({data: new Uint8Array(buffer, start, stride * h), stride, width: w, height: h});
    }
    return {
      width, height, chroma, full: full !== 0, bt601: matrix === 5 || matrix === 6, planes,
      // The same picture as RGBA, for a page without WebGL.
      rgba: () => {
        const p = wasm.hv_rgba();
        return p ? new Uint8ClampedArray(wasm.memory.buffer, p, width * height * 4) : null;
      },
    };
  }

  close() {
    this.wasm = null;
  }
}
