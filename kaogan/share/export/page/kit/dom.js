// Small helpers for elements, shared by the studio and the exported page.

export const $ = (id) => document.getElementById(id);

/** An element with properties, attributes (with a dash or unknown as a property) and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replaceAll("_", " ");

/** A random seed of 32 bits. */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** How to scroll for this visitor: "auto" jumps. */
export const scrollBehavior = () => (reducedMotion() ? "auto" : "smooth");

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
