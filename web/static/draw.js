// Draws pictures: by WebGL2 on an OffscreenCanvas where that runs on a GPU, else as pixels that are made
// here and that the page puts on its canvas (paint.js): an OffscreenCanvas would show them a display frame
// later (doc/wasm-decoder.md). A picture has width, height, and either planes, changed() and rgba(from, to)
// (wasm.js), or rgba(from, to), or a VideoFrame. Only rows that changed are converted, uploaded and drawn.

const VERTEX = `#version 300 es
const vec2 corner[3] = vec2[3](vec2(-1, -1), vec2(3, -1), vec2(-1, 3));
void main() { gl_Position = vec4(corner[gl_VertexID], 0, 1); }`;

// Chroma of 4:2:0 lies to the left between two rows of luma (H.265, figure E.1, type 0), as
// hevcast's converter puts it.
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D y, u, v;
uniform vec2 size, chroma; // of luma in pixels; of chroma relative to it (1 or 0.5)
uniform vec4 weights;      // red from v, green from u and v, blue from u
uniform vec4 range;        // luma offset and scale, chroma offset and scale
out vec4 colour;
void main() {
  vec2 at = vec2(gl_FragCoord.x, size.y - gl_FragCoord.y);
  vec2 c = chroma.x < 1.0 ? vec2((at.x - 0.5) * chroma.x + 0.5, at.y * chroma.y) : at;
  vec2 inChroma = c / vec2(textureSize(u, 0));
  float luma = (texelFetch(y, ivec2(at), 0).r - range.x) * range.y;
  float cb = (texture(u, inChroma).r - range.z) * range.w;
  float cr = (texture(v, inChroma).r - range.z) * range.w;
  colour = vec4(luma + weights.x * cr, luma + weights.y * cb + weights.z * cr, luma + weights.w * cb, 1);
}`;

const GREY = {data: Uint8Array.of(128), stride: 1, width: 1, height: 1};

class GlDrawing {
  name = 'WebGL2';

  constructor(gl) {
    this.gl = gl;
    const program = gl.createProgram();
    for (const [type, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.at = (name) => gl.getUniformLocation(program, name);
    this.textures = ['y', 'u', 'v'].map((name, i) => {
      gl.activeTexture(gl.TEXTURE0 + i);
      const texture = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, texture);
      for (const p of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, p, gl.CLAMP_TO_EDGE);
      for (const p of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, p, gl.LINEAR);
      gl.uniform1i(this.at(name), i);
      return {width: 0, height: 0};
    });
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.enable(gl.SCISSOR_TEST);
  }

  // rows: bands of the picture's rows, of which a plane of half the height has half.
  upload(i, plane, rows, height) {
    const {gl} = this, t = this.textures[i];
    gl.activeTexture(gl.TEXTURE0 + i);
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, plane.stride);
    if (t.width !== plane.width || t.height !== plane.height) {
      Object.assign(t, {width: plane.width, height: plane.height});
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, plane.width, plane.height, 0, gl.RED, gl.UNSIGNED_BYTE, plane.data);
      return;
    }
    const half = plane.height < height ? 2 : 1;
    for (const [from, to] of rows) {
      const top = Math.floor(from / half), bottom = Math.min(plane.height, Math.ceil(to / half));
      if (bottom <= top) continue;
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, top, plane.width, bottom - top, gl.RED, gl.UNSIGNED_BYTE, plane.data, top * plane.stride);
    }
  }

  draw(picture, rows) {
    const {gl} = this, {planes, height} = picture;
    planes.forEach((p, i) => this.upload(i, p, rows, height));
    if (planes.length === 1) for (const i of [1, 2]) this.upload(i, GREY, [], 1);
    const half = (p) => (p.width < planes[0].width ? 0.5 : 1);
    gl.uniform2f(this.at('chroma'), planes.length > 1 ? half(planes[1]) : 1,
      planes.length > 1 && planes[1].height < planes[0].height ? 0.5 : 1);
    gl.uniform2f(this.at('size'), picture.width, picture.height);
    const [kr, kb] = picture.bt601 ? [0.299, 0.114] : [0.2126, 0.0722], kg = 1 - kr - kb;
    gl.uniform4f(this.at('weights'), 2 - 2 * kr, -kb * (2 - 2 * kb) / kg, -kr * (2 - 2 * kr) / kg, 2 - 2 * kb);
    if (picture.full) gl.uniform4f(this.at('range'), 0, 1, 128 / 255, 1);
    else gl.uniform4f(this.at('range'), 16 / 255, 255 / 219, 128 / 255, 255 / 224);
    gl.viewport(0, 0, picture.width, picture.height);
    for (const [from, to] of rows) {
      gl.scissor(0, height - to, picture.width, to - from);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    gl.flush();
  }
}

// Pictures that the page has not answered yet; more would only wait there.
const MOST_OUT = 3;
const STRIP = 16; // rows that are converted and copied while they are in the processor's cache

// What the page answers, for each picture that it got: back().
class PageDrawing {
  name = '2D';

  constructor(send) {
    this.send = send;
    this.free = []; // buffers that came back
    this.out = 0;
  }

  get ready() {
    return this.out < MOST_OUT;
  }

  draw({width, height, frame, rgba}, rows, captured) {
    this.out++;
    if (frame) {
      this.send({draw: {width, height, captured, frame}}, [frame]);
      return;
    }
    const size = width * height * 4;
    let buffer = this.free.pop();
    if (buffer?.byteLength !== size) {
      this.free = [];
      buffer = new ArrayBuffer(size);
    }
    const into = new Uint8Array(buffer), row = width * 4;
    for (const [from, to] of rows) {
      for (let at = from; at < to; at += STRIP) into.set(rgba(at, Math.min(at + STRIP, to)), at * row);
    }
    this.send({draw: {width, height, captured, rows, buffer}}, [buffer]);
  }

  back(buffer) {
    this.out--;
    if (buffer) this.free.push(buffer);
  }
}

// WebGL2 is worth it on a GPU alone: in software it costs more than the 2D way.
export function hasGpu() {
  const probe = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!probe) return false;
  const info = probe.getExtension('WEBGL_debug_renderer_info');
  const renderer = info ? probe.getParameter(info.UNMASKED_RENDERER_WEBGL) : '';
  probe.getExtension('WEBGL_lose_context')?.loseContext();
  return !/swiftshader|llvmpipe|softpipe|software/i.test(renderer);
}

export class Screen {
  // canvas: an OffscreenCanvas to draw on by WebGL2, or null: the page draws, send(message, transferred) tells it.
  constructor(canvas, send) {
    this.canvas = canvas;
    const gl = canvas?.getContext('webgl2', {alpha: false, antialias: false, depth: false, desynchronized: true,
      preserveDrawingBuffer: true});
    if (canvas && !gl) throw Object.assign(new Error('its WebGL2 cannot draw on the page'), {unable: true});
    this.drawing = gl ? new GlDrawing(gl) : new PageDrawing(send);
    this.size = [0, 0];
  }

  get name() {
    return this.drawing.name;
  }

  // The page answers each picture; otherwise it is drawn when draw() returns.
  get answers() {
    return !this.canvas;
  }

  // Whether a picture can be drawn now, or has to wait for the page.
  get ready() {
    return this.drawing.ready ?? true;
  }

  // Draws what is new. {resized, rows: how many were drawn}.
  draw(picture, captured) {
    const {canvas} = this, {width, height} = picture;
    const resized = this.size[0] !== width || this.size[1] !== height;
    this.size = [width, height];
    if (resized && canvas) Object.assign(canvas, {width, height});
    let rows = picture.changed ? picture.changed() : [[0, height]];
    if (resized) rows = [[0, height]];
    if (rows.length > 0) this.drawing.draw(picture, rows, captured);
    return {resized, rows: rows.reduce((sum, [from, to]) => sum + to - from, 0)};
  }

  back(buffer) {
    this.drawing.back(buffer);
  }
}
