// Files of the page: beside it on a server or, where the page is a single file, data: addresses of what is inside of it.

export const inside = Object.fromEntries(
  [...document.querySelectorAll("script[data-file]")].map(({ dataset, textContent }) =>
    [dataset.file, `data:${dataset.kind};base64,${textContent}`]),
);

export const single = Object.keys(inside).length > 0;

export const address = (file) => inside[file] ?? new URL(file, location.href).href;
