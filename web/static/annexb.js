// What the page must know of HEVC: where an access unit's SPS is, and the codec string in it.

// The NAL units of an access unit in Annex B: [type, start, end] each, without start codes.
export function* nals(data) {
  let start = -1;
  for (let i = 0; i + 2 < data.length; i++) {
    if (data[i] !== 0 || data[i + 1] !== 0 || data[i + 2] !== 1) continue;
    if (start >= 0) yield [data[start] >> 1 & 63, start, i > 0 && data[i - 1] === 0 ? i - 1 : i];
    start = i + 3;
    // Parameter sets come first; what is behind a slice need not be looked for.
    if (start < data.length && (data[start] >> 1 & 63) < 32) {
      yield [data[start] >> 1 & 63, start, data.length];
      return;
    }
    i += 2;
  }
  if (start >= 0) yield [data[start] >> 1 & 63, start, data.length];
}

// "hev1.1.6.L123.B0" (ISO/IEC 14496-15, annex E.3) of a key frame's SPS, or null.
export function codecString(data) {
  for (const [type, start, end] of nals(data)) {
    if (type !== 33) continue;
    const b = []; // without emulation prevention bytes (H.265, section 7.4.2)
    for (let i = start, zeros = 0; i < end && b.length < 15; i++) {
      if (zeros >= 2 && data[i] === 3) { zeros = 0; continue; }
      zeros = data[i] === 0 ? zeros + 1 : 0;
      b.push(data[i]);
    }
    if (b.length < 15) return null;
    const space = ['', 'A', 'B', 'C'][b[3] >> 6], profile = b[3] & 31, tier = b[3] & 32 ? 'H' : 'L';
    let flags = 0;
    for (let i = 0; i < 32; i++) if (b[4 + (i >> 3)] >> (7 - (i & 7)) & 1) flags += 2 ** i;
    const constraints = b.slice(8, 14);
    while (constraints.length > 0 && constraints.at(-1) === 0) constraints.pop();
    return [`hev1.${space}${profile}`, flags.toString(16).toUpperCase(), `${tier}${b[14]}`,
      ...constraints.map((c) => c.toString(16).toUpperCase())].join('.');
  }
  return null;
}
