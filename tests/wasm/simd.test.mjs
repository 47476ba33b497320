// node --test simd.test.mjs, with SIMD_TEST=simd_test.wasm: the decoder's vector code gives the same bits
// as libde265's plain versions.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import test from 'node:test';

const module = await WebAssembly.compile(readFileSync(process.env.SIMD_TEST));
const imports = {};
for (const {module: from, name} of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
const {exports} = await WebAssembly.instantiate(module, imports);
exports._initialize();

for (const [name, rounds] of [['motion', 2000], ['transforms', 2000], ['residuals', 500]]) {
  test(name, () => {
    for (let seed = 1; seed <= 10; seed++) {
      const differs = exports[name](seed, rounds);
      assert.equal(differs, 0, `seed ${seed}: round ${differs} differs`);
    }
  });
}
