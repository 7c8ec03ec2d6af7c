// The state of the page is its address: shared, kept as a bookmark, gone through with back and forward.

const listeners = [];

export const words = () => new URLSearchParams(location.search);

export const word = (name, usual = "") => words().get(name) ?? usual;

/** Change words; null or "" takes one away. `push` makes a new entry of the history. */
export function change(changes, push = false) {
  const now = words();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") now.delete(name);
    else now.set(name, value);
  }
  const next = `?${now}`;
  if (next === location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", next);
}

/** All words that begin so: attributes "a.", moves "m.". */
export const beginning = (...starts) =>
  Object.fromEntries([...words()].filter(([name]) => starts.some((start) => name.startsWith(start))));

export const none = (...starts) => Object.fromEntries(Object.keys(beginning(...starts)).map((name) => [name, null]));

/** Only those words that say something. */
export const given = (words) => Object.fromEntries(Object.entries(words).filter(([, value]) => value !== "" && value != null));

export const onReturn = (listener) => listeners.push(listener);

addEventListener("popstate", () => listeners.forEach((listener) => listener()));
