// Small drawings. Every element is made by name and every word is a text node: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; strings become text nodes. */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** An element of a drawing. */
export function draw(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A bar as wide as its place, cut into [class, amount] of whole. */
export function bar(parts, whole) {
  let at = 0;
  const pieces = [];
  for (const [style, amount] of parts) {
    const width = whole ? (1000 * amount) / whole : 0;
    if (width > 0) pieces.push(draw("rect", { class: style, x: at, y: 0, width: Math.max(width, 2), height: 10 }));
    at += width;
  }
  return draw("svg", { class: "bar", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" }, ...pieces);
}

/**
 * A distribution, as many pixels wide as its place: kept below, dropped above; the job's bound dashed, the moved one solid.
 * Returns [svg, move(value)].
 */
export function histogram(shown, width) {
  const [height, base] = [120, 104];
  const highest = Math.max(1, ...shown.bins.map(([kept, dropped]) => kept + dropped));
  const at = (value) => ((Math.min(Math.max(value, shown.low), shown.high) - shown.low) / (shown.high - shown.low)) * width;
  const wide = width / shown.bins.length;
  const pieces = [];
  shown.bins.forEach(([kept, dropped], i) => {
    const up = (count) => (count / highest) * (base - 6);
    for (const [style, low, count] of [["kept", 0, kept], ["dropped", kept, dropped]]) {
      if (count) pieces.push(draw("rect", { class: style, x: i * wide, y: base - up(low + count), width: Math.max(wide - 1, 0.5), height: up(count) }));
    }
  });
  for (const bound of shown.bounds) pieces.push(draw("line", { class: "mark", x1: at(bound), x2: at(bound), y1: 0, y2: base }));
  const moved = draw("line", { class: "moved", x1: 0, x2: 0, y1: 0, y2: base });
  const ends = [[shown.low, 0, "start"], [shown.high, width, "end"]].map(([value, x, anchor]) =>
    draw("text", { x, y: height - 3, "text-anchor": anchor }, number(value)));
  const svg = draw("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "distribution of the signal" }, ...pieces, moved, ...ends);
  return [svg, (value) => { moved.setAttribute("x1", at(value)); moved.setAttribute("x2", at(value)); }];
}

/** Four digits that count, or all of a whole number. */
export function number(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
}

export function share(part, whole) {
  return whole ? `${((100 * part) / whole).toFixed(1)}%` : "none";
}
