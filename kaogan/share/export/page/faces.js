// Faces of a model: in words, in the address of the page, in Python.

import { resolve } from "./engine.js";
import { randomSeed } from "./kit/dom.js";

export function facesOf(model) {
  function randomFace() {
    const values = Object.fromEntries(model.attributes.map(({ name }) => [name, null]));
    return { ...model.start, values, seed: randomSeed(), number: 0 };
  }

  function describe(one) {
    const { values } = resolve(model, one);
    const words = model.attributes.map(({ name }) => `${values[name]} ${name.replaceAll("_", " ")}`);
    return [`Seed ${one.seed}${one.number ? `, no. ${one.number}` : ""}`, ...words].join(" · ");
  }

  function fromAddress() {
    const requested = new URLSearchParams(location.hash.slice(1));
    if (!requested.has("seed")) return null;
    return sound({
      seed: Number(requested.get("seed")),
      number: Number(requested.get("n") ?? 0),
      truncation: Number(requested.get("t") ?? 1),
      keep: Number(requested.get("keep") ?? 1), // addresses from before there was a filter go on to mean their faces
      values: Object.fromEntries(model.attributes.map(({ name }) => [name, requested.get(`v.${name}`)])),
    });
  }

  /** The face if it is one of this model, else null: addresses and storage hold what they like. */
  function sound(one) {
    const whole = (x) => Number.isSafeInteger(x) && x >= 0;
    if (!one || !whole(one.seed) || !whole(one.number) || !(one.truncation >= 0 && one.truncation <= 10)) return null;
    const keep = one.keep ?? 1;
    if (!(keep > 0 && keep <= 1)) return null;
    const values = {};
    for (const { name, values: known } of model.attributes) {
      values[name] = known.includes(one.values?.[name]) ? one.values[name] : null;
    }
    return { seed: one.seed, number: one.number, truncation: one.truncation, ...(model.filter ? { keep } : {}), values };
  }

  function toAddress(one) {
    const words = new URLSearchParams({ seed: one.seed });
    if (one.number) words.set("n", one.number);
    if (one.truncation !== 1) words.set("t", one.truncation);
    if ((one.keep ?? 1) < 1) words.set("keep", one.keep);
    for (const [name, value] of Object.entries(one.values)) if (value) words.set(`v.${name}`, value);
    return `#${words}`;
  }

  function python(one, values) {
    const plain = model.keywords;
    const pairs = model.attributes.map(({ name }) => (plain ? `, ${name}=` : `${JSON.stringify(name)}: `) + JSON.stringify(values[name]));
    const words = plain ? pairs.join("") : `, attributes={${pairs.join(", ")}}`;
    const truncation = one.truncation === 1 ? "" : `, truncation=${one.truncation}`;
    const keep = model.filter ? `, keep=${one.keep ?? 1}` : "";
    return `import kaogan\n\nmodel = kaogan.load("${model.path}")\n` +
      `face = model.sample(${one.number + 1}, seed=${one.seed}${truncation}${keep}${words})[${one.number}]`;
  }

  return { describe, fromAddress, python, randomFace, sound, toAddress };
}
