// The page's side of the worker, and what a face is made of.

import { address, inside } from "./files.js";
import { drawValue, filteredLatents } from "./latents.js";

export class Engine {
  constructor(onProgress) {
    this.worker = new Worker(address("worker.js"), { type: "module" });
    this.waiting = new Map();
    this.next = 0;
    this.ready = new Promise((resolve, reject) => {
      this.worker.onmessage = ({ data }) => {
        if (data.type === "progress") onProgress(data.done, data.total);
        else if (data.type === "ready") resolve(data);
        else if (data.type === "step") this.waiting.get(data.id).step?.(data.done, data.total);
        else if (data.id === undefined) reject(new Error(data.message));
        else this.settle(data);
      };
      this.worker.onerror = (event) => reject(new Error(event.message || "the worker did not start"));
    });
  }

  /** `about` is model.json, `requested` a backend or null, `cache` the name of the page's cache or null for none. */
  start(about, requested, cache) {
    this.worker.postMessage({ type: "start", about, requested, cache, files: inside });
    return this.ready;
  }

  /** Fetches the networks that enlarge, too, so that they are there without a network. */
  keep() {
    this.worker.postMessage({ type: "keep" });
  }

  settle(data) {
    const { resolve, reject } = this.waiting.get(data.id);
    this.waiting.delete(data.id);
    if (data.type === "failed") reject(new Error(data.message));
    else resolve({ picture: new ImageData(data.pixels, data.side, data.side), milliseconds: data.milliseconds });
  }

  /** {latents, codes, truncation} -> {picture: ImageData, milliseconds}. `step` hears of the loading of what enlarges. */
  draw(vector, scale = 1, step = undefined) {
    return new Promise((resolve, reject) => {
      this.waiting.set(this.next, { resolve, reject, step });
      this.worker.postMessage({ type: "draw", id: this.next++, scale, ...vector });
    });
  }
}

// A face is {seed, number, truncation, keep, values}: for each attribute the value that was asked for, or null for any;
// keep only where the model has a latent filter.

/** The face with all values chosen: those left open are drawn from how often the data has them. */
export function resolve(model, face) {
  const values = {};
  for (const { name, values: known, priors } of model.attributes) {
    const requested = face.values[name];
    values[name] = known.includes(requested) ? requested : known[drawValue(priors, name, face.seed, face.number)];
  }
  return { ...face, values };
}

export function toVector(model, face) {
  const latents = filteredLatents(model.filter, face.keep ?? 1, model.latent.size, model.latent.distribution, face.seed, face.number);
  if (!model.styled) for (let i = 0; i < latents.length; i++) latents[i] *= face.truncation;
  const { values } = resolve(model, face);
  const codes = model.attributes.flatMap((each) => each.values.map((value) => (value === values[each.name] ? 1 : 0)));
  return { latents, codes: codes.length ? Float32Array.from(codes) : null, truncation: face.truncation };
}

/** A vector between two: on the great circle for normal latents, straight for uniform ones and for codes. */
export function blend(model, a, b, t) {
  const straight = (x, y) => x.map((value, i) => value + (y[i] - value) * t);
  return {
    latents: model.latent.distribution === "normal" ? slerp(a.latents, b.latents, t) : straight(a.latents, b.latents),
    codes: a.codes && straight(a.codes, b.codes),
    truncation: a.truncation + (b.truncation - a.truncation) * t,
  };
}

function slerp(a, b, t) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  const angle = lengths ? Math.acos(Math.min(1, Math.max(-1, dot(a, b) / lengths))) : 0;
  if (angle < 1e-4 || angle > Math.PI - 1e-4) return a.map((value, i) => value + (b[i] - value) * t);
  const from = Math.sin((1 - t) * angle) / Math.sin(angle);
  const to = Math.sin(t * angle) / Math.sin(angle);
  return a.map((value, i) => from * value + to * b[i]);
}
