// State of the page, kept in its address: shared, bookmarked, gone through with back and forward.

const listeners = [];

export const params = () => new URLSearchParams(location.search);

export const param = (name, fallback = "") => params().get(name) ?? fallback;

/** Change parameters; null or "" takes one away. `push` makes a new entry of the history. */
export function change(changes, push = false) {
  const now = params();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") now.delete(name);
    else now.set(name, value);
  }
  const next = `?${now}`;
  if (next === location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", next);
}

/** All parameters that begin so: attributes "a.", moves "m.". */
export const beginning = (...starts) =>
  Object.fromEntries([...params()].filter(([name]) => starts.some((start) => name.startsWith(start))));

export const none = (...starts) => Object.fromEntries(Object.keys(beginning(...starts)).map((name) => [name, null]));

/** Only those parameters that are not empty. */
export const given = (params) => Object.fromEntries(Object.entries(params).filter(([, value]) => value !== "" && value != null));

export const onReturn = (listener) => listeners.push(listener);

addEventListener("popstate", () => listeners.forEach((listener) => listener()));
