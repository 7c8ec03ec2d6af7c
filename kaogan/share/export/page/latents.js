// kaogan's random numbers, in JavaScript: the latents of (seed, number) are those of kaogan/core/rng.py and PyTorch's
// CPU generator to the last bits of a float: SHA-256 of "seed/purpose/number" seeds a Mersenne Twister (MT19937).

const PURPOSE = "sample/latent";
const ATTEMPTS = 1000; // latents that are looked at for one picture, at most

/** A seed of 32 bits, which is all that the Mersenne Twister of PyTorch takes of the 63 that kaogan hands it. */
export function seedFor(seed, purpose, number) {
  const d = sha256(new TextEncoder().encode(`${seed}/${purpose}/${number}`));
  const low = d[0] | (d[1] << 8) | (d[2] << 16) | (d[3] << 24);
  return ((low >>> 1) | ((d[4] & 1) << 31)) >>> 0; // kaogan shifts the first 64 bits right by one
}

/** The latents (Float32Array) of picture `number` of `seed`; distribution is "normal" or "uniform". */
export function drawLatents(size, distribution, seed, number, purpose = PURPOSE) {
  const twister = new Twister(seedFor(seed, purpose, number));
  if (distribution === "uniform") return Float32Array.from({ length: size }, () => Math.fround(twister.uniform() * 2) - 1);
  return size < 16 ? fewNormals(twister, size) : manyNormals(twister, size);
}

/**
 * Of the candidates for the picture the first that `filter` counts among the best `keep`, as in Python's
 * latent_filter.py; with a `keep` of 1 or without a filter the first of all.
 */
export function filteredLatents(filter, keep, size, distribution, seed, number) {
  if (!filter || keep >= 1) return drawLatents(size, distribution, seed, number);
  const threshold = quantile(filter.quantiles, keep);
  let best;
  let least = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const latents = drawLatents(size, distribution, seed, number, attempt ? `${PURPOSE}/${attempt}` : PURPOSE);
    const foretold = foretell(filter.layers, latents);
    if (!best || foretold < least) [best, least] = [latents, foretold];
    if (foretold <= threshold) break;
  }
  return best;
}

function quantile(quantiles, share) {
  const place = share * (quantiles.length - 1);
  const low = Math.min(Math.floor(place), quantiles.length - 2);
  return quantiles[low] + (quantiles[low + 1] - quantiles[low]) * (place - low);
}

/** The perceptron: in doubles, as in Python, so that both take the same latents. */
function foretell(layers, latents) {
  let x = Float64Array.from(latents);
  layers.forEach(({ weight, bias }, layer) => {
    const before = layer ? x.map((value) => value / (1 + Math.exp(-value))) : x;
    x = Float64Array.from(bias, (start, row) => before.reduce((sum, value, i) => sum + weight[row * before.length + i] * value, start));
  });
  return x[0];
}

/** A filter of model.json with the numbers of its layers, float32 in base64, as arrays. */
export function unpacked(filter) {
  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  return { ...filter, layers: filter.layers.map(({ weight, bias }) => ({ weight: floats(weight), bias: floats(bias) })) };
}

/** The index of a value drawn from priors. The page's own draw: PyTorch's depends on the machine's libraries. */
export function drawValue(priors, name, seed, number) {
  let left = new Twister(seedFor(seed, `page/${name}`, number)).uniform();
  const last = priors.length - 1;
  for (let i = 0; i < last; i++) if ((left -= priors[i]) < 0) return i;
  return last;
}

// Box and Muller, as PyTorch does it for 16 numbers at a time; the last 16 are drawn again when some are left over.
function manyNormals(twister, size) {
  const out = Float32Array.from({ length: size }, () => twister.uniform());
  for (let i = 0; i + 16 <= size; i += 16) pairs(out.subarray(i, i + 16));
  if (size % 16) {
    const tail = out.subarray(size - 16);
    for (let i = 0; i < 16; i++) tail[i] = twister.uniform();
    pairs(tail);
  }
  return out;
}

function pairs(sixteen) {
  for (let i = 0; i < 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - sixteen[i]));
    const angle = 2 * Math.PI * sixteen[i + 8];
    sixteen[i] = radius * Math.cos(angle);
    sixteen[i + 8] = radius * Math.sin(angle);
  }
}

function fewNormals(twister, size) {
  const out = new Float32Array(size);
  for (let i = 0; i < size; i += 2) {
    const angle = 2 * Math.PI * twister.double();
    const radius = Math.sqrt(-2 * Math.log1p(-twister.double()));
    out[i] = radius * Math.cos(angle);
    if (i + 1 < size) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}

/** MT19937, Matsumoto and Nishimura 1998. */
class Twister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.next = 624;
  }

  /** 32 bits. */
  bits() {
    const s = this.state;
    if (this.next === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = s[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** A float in [0, 1) of 24 bits. */
  uniform() {
    return (this.bits() & 0xffffff) / 0x1000000;
  }

  /** A double in [0, 1) of 53 bits. */
  double() {
    const high = this.bits() & 0x1fffff;
    return (high * 0x100000000 + this.bits()) / 2 ** 53;
  }
}

const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every((p) => n % p)) PRIMES.push(n);
const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32) >>> 0;

/** Here rather than crypto.subtle, which plain http does not have and which only answers later. */
function sha256(bytes) {
  const rounds = PRIMES.map((p) => fraction(Math.cbrt(p)));
  const hash = PRIMES.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Int32Array(64);
  for (let start = 0; start < padded.length; start += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(start + 4 * i);
    for (let i = 16; i < 64; i++) {
      const a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const t1 = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + rounds[i] + w[i]) | 0;
      const t2 = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (hash[i] = (hash[i] + x) >>> 0));
  }
  return Uint8Array.from({ length: 32 }, (_, i) => hash[i >> 2] >>> (24 - 8 * (i & 3)));
}
