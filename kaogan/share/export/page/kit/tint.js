// Colours of the page after the hair of a face.

/** Set the page's hue and chroma to the mean colour, in OKLab (Ottosson 2020), of the top third of an image or canvas. */
export function tint(picture) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, 16, 16);
  const { data } = context.getImageData(2, 1, 12, 5);
  let [a, b] = [0, 0];
  for (let i = 0; i < data.length; i += 4) {
    const [red, green, blue] = [data[i], data[i + 1], data[i + 2]].map((value) => linear(value / 255));
    const l = Math.cbrt(0.4122 * red + 0.5363 * green + 0.0514 * blue);
    const m = Math.cbrt(0.2119 * red + 0.6807 * green + 0.1074 * blue);
    const s = Math.cbrt(0.0883 * red + 0.2817 * green + 0.63 * blue);
    a += (1.978 * l - 2.4286 * m + 0.4506 * s) / (data.length / 4);
    b += (0.0259 * l + 0.7828 * m - 0.8087 * s) / (data.length / 4);
  }
  const { style } = document.documentElement;
  style.setProperty("--hue", ((Math.atan2(b, a) * 180) / Math.PI).toFixed(1));
  style.setProperty("--chroma", Math.min(0.16, 0.03 + 1.6 * Math.hypot(a, b)).toFixed(3));
}

const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
