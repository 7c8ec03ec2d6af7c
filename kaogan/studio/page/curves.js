// Curves of a run, as small SVG drawings.

import { element } from "./kit/dom.js";

const SHAPE = { width: 340, height: 150, left: 52, right: 6, top: 8, bottom: 20 };
const TOGETHER = [
  ["Losses", { loss_d: "D", loss_g: "G" }],
  ["Scores", { real_score: "real", fake_score: "drawn" }],
  ["Speed, images a second", { images_per_second: "speed" }],
];

const drawn = (tag, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

const short = (value) => {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
  if (size > 0 && size < 1e-3) return value.toExponential(1);
  return String(+value.toPrecision(3));
};

function curve(title, lines) {
  const { width, height, left, right, top, bottom } = SHAPE;
  const points = lines.flatMap((line) => line.points);
  const most = Math.max(...points.map((p) => p[0]), 1);
  let [low, high] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const x = (clock) => left + (clock / most) * (width - left - right);
  const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const value of [low, (low + high) / 2, high]) {
    picture.append(
      drawn("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)),
    );
  }
  picture.append(drawn("text", { x: left, y: height - 4 }, "0"), drawn("text", { x: width - right, y: height - 4, "text-anchor": "end" }, `${most.toLocaleString("en")} images`));
  const names = lines.map((line, number) => {
    const path = line.points.map((p, at) => `${at ? "L" : "M"}${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join("");
    picture.append(drawn("path", { class: `c${number % 3}`, d: path }));
    if (line.points.length === 1) picture.append(drawn("circle", { class: `c${number % 3}`, r: 2.5, cx: x(line.points[0][0]), cy: y(line.points[0][1]) }));
    return element("span", { className: `c${number % 3}` }, `${line.name} ${short(line.points.at(-1)[1])}  `);
  });
  return element("figure", { className: "curve" }, element("figcaption", {}, element("strong", {}, title), element("span", {}, ...names)), picture);
}

/** [the first two curves, all others]; `found`: key -> [[clock, value | null], ...]. */
export function curves(found) {
  const left = new Map(
    Object.entries(found).map(([key, points]) => [key, points.filter((p) => p[1] !== null)]).filter(([, points]) => points.length),
  );
  const made = [];
  for (const [title, keys] of TOGETHER) {
    const lines = Object.entries(keys).filter(([key]) => left.has(key)).map(([key, name]) => ({ name, points: left.get(key) }));
    for (const key of Object.keys(keys)) left.delete(key);
    if (lines.length) made.push(curve(title, lines));
  }
  for (const [key, points] of left) made.push(curve(key.replaceAll("_", " "), [{ name: "", points }]));
  return [made.slice(0, 2), made.slice(2)];
}
