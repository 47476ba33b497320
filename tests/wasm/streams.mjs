// The page's decoder in Node on streams that record_streams wrote:
//   node streams.mjs hevc.wasm DIR            every picture equals libavcodec's (MD5 of its planes)
//   node streams.mjs hevc.wasm DIR --bench [--json FILE] [--before OTHER.wasm]   time of each picture, too
// Times are CPU time of this process, so that a busy machine does not change them much.
import {createHash} from 'node:crypto';
import {mkdirSync, readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';

const [wasmPath, dir, ...rest] = process.argv.slice(2);
const option = (name) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : null);

async function decoder(path) {
  const module = await WebAssembly.compile(readFileSync(path));
  const imports = {};
  for (const {module: from, name} of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
  const wasm = (await WebAssembly.instantiate(module, imports)).exports;
  wasm._initialize();
  if (!wasm.hv_reset()) throw new Error('no memory for the decoder');
  return wasm;
}

function* units(path) {
  const file = readFileSync(path);
  for (let at = 0; at < file.length;) {
    const length = file.readUInt32BE(at);
    yield {md5: file.subarray(at + 4, at + 20).toString('hex'), data: file.subarray(at + 20, at + 20 + length)};
    at += 20 + length;
  }
}

function decode(wasm, data) {
  const at = wasm.hv_input(data.length);
  new Uint8Array(wasm.memory.buffer, at, data.length).set(data);
  const before = process.cpuUsage();
  const error = wasm.hv_decode(data.length);
  const {user, system} = process.cpuUsage(before);
  if (error) throw new Error(`libde265 says ${error}`);
  const info = wasm.hv_picture();
  if (!info) throw new Error('an access unit gave no picture');
  return {ms: (user + system) / 1000, info};
}

function md5Of(wasm, info) {
  const [, , chroma, , , , ...plane] = new Int32Array(wasm.memory.buffer, info, 18);
  const md5 = createHash('md5');
  for (let i = 0; i < (chroma === 0 ? 1 : 3); i++) {
    const [start, stride, width, height] = plane.slice(4 * i, 4 * i + 4);
    for (let y = 0; y < height; y++) md5.update(new Uint8Array(wasm.memory.buffer, start + y * stride, width));
  }
  return md5.digest('hex');
}

async function check(path) {
  const wasm = await decoder(wasmPath);
  let n = 0;
  for (const {md5, data} of units(path)) {
    const {info} = decode(wasm, data);
    if (md5Of(wasm, info) !== md5) throw new Error(`${path}: picture ${n} is not libavcodec's`);
    n++;
  }
  return n;
}

// The second time through, when all code is compiled.
async function times(which, path) {
  const wasm = await decoder(which);
  let ms = [];
  for (let round = 0; round < 2; round++) ms = [...units(path)].map(({data}) => decode(wasm, data).ms);
  const [key, , ...motion] = ms; // the second picture is the first again, made sharper
  motion.sort((a, b) => a - b);
  const round = (v) => Math.round(v * 100) / 100;
  return {key_ms: round(key), mean_ms: round(motion.reduce((a, b) => a + b, 0) / motion.length),
    p95_ms: round(motion[Math.floor(motion.length * 0.95)])};
}

const results = [];
for (const name of readdirSync(dir).filter((n) => n.endsWith('.hvt')).sort()) {
  const path = join(dir, name), stream = name.slice(0, -4);
  const pictures = await check(path);
  console.log(`${stream}: ${pictures} pictures are the same`);
  if (rest.includes('--bench')) {
    const other = option('--before');
    results.push({stream, ...await times(wasmPath, path), ...(other ? {before: await times(other, path)} : {})});
  }
}
if (results.length) {
  console.log('| stream | key frame, ms | in motion, ms (p95) | before |\n|---|---|---|---|');
  for (const r of results) {
    const before = r.before ? `${r.before.key_ms}, ${r.before.mean_ms} (${r.before.p95_ms})` : '';
    console.log(`| ${r.stream} | ${r.key_ms} | ${r.mean_ms} (${r.p95_ms}) | ${before} |`);
  }
}
const json = option('--json');
if (json) {
  mkdirSync(dirname(json), {recursive: true});
  writeFileSync(json, `${JSON.stringify(results, null, 1)}\n`);
}
