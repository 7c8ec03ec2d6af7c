// Pictures: drawn on canvases, shown as buttons, saved as files.

import { element } from "./dom.js";

/** Draw an ImageData on a canvas of any size, smoothly. */
export function paint(canvas, picture) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(toCanvas(picture), 0, 0, canvas.width, canvas.height);
}

/** A canvas of the size of an ImageData. */
export function toCanvas(picture) {
  const canvas = element("canvas", { width: picture.width, height: picture.height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

/** A button that shows a picture: an ImageData, or the address of an image. */
export function tile(picture, label, onclick) {
  const shown = typeof picture === "string"
    ? element("img", { src: picture, alt: "" })
    : element("canvas", { width: 128, height: 128 });
  if (typeof picture !== "string") paint(shown, picture);
  return element("button", { type: "button", className: "tile", title: label, "aria-label": label, onclick }, shown);
}

/** Save a canvas as a PNG file. */
export function save(canvas, name) {
  canvas.toBlob((blob) => {
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
}
