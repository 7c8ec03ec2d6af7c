// The button for dark or light, and memory of the choice and of other small things.

/** The text under a name in this browser's storage, or null; it may be closed, as in a private window. */
export function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function store(name, text) {
  try {
    localStorage.setItem(name, text);
  } catch {
    // Then it lasts as long as the page.
  }
}

/** `memory` begins the names under which this page keeps things. */
export function themeButton(button, memory) {
  const root = document.documentElement;
  const set = (name) => { if (name) root.dataset.theme = name; };
  set(stored(`${memory}theme`));
  button.onclick = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    set(dark ? "light" : "dark");
    store(`${memory}theme`, root.dataset.theme);
  };
}
