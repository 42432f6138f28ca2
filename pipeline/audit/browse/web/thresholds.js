// A threshold to move, and the counts that follow it.

import { bar, histogram, make, number, share } from "/charts.js";

const by = (id) => document.getElementById(id);
const STEPS = 200;
const KEY = [["kept", "kept"], ["dropped", "dropped"], ["mark", "the job's bound"], ["moved", "the moved one"]];
const LEGEND = make("p", { class: "soft legend" }, ...KEY.map(([style, words]) => make("span", { class: style }, words)));

/** Fills the panel. ask(path, fields) puts a question to the server; flip(flips) shows the samples that change sides. */
export function startThresholds(thresholds, ask, flip) {
  by("thresholds").hidden = !thresholds.length;
  if (!thresholds.length) return;
  const [which, slider, exact] = [by("which"), by("slider"), by("exact")];
  thresholds.forEach((one, i) => which.append(make("option", { value: i }, one.path)));
  let current = thresholds[0];
  let follow = () => {};
  let asked = 0;

  /** What went wrong is said here, where the person looks; numbers that no longer hold are taken away. */
  function complain(error) {
    by("wrong").textContent = error ? error.message : "";
    by("wrong").hidden = !error;
    if (!error) return;
    by("moved").replaceChildren();
    by("flips").replaceChildren();
    by("command").textContent = "";
  }

  /** Buttons that show the samples which the moved threshold flips, each way. */
  function ways(found, value) {
    if (!current.flips) return [];
    return [["out", found.falls_out, "it would drop"], ["in", found.falls_in, "it would let pass"]]
      .filter(([, count]) => count)
      .map(([way, count, words]) => {
        const button = make("button", { type: "button" }, `See the ${number(count)} that ${words}`);
        button.addEventListener("click", () => flip([way, current.step, current.side ?? "", value, current.signal ?? ""].join("~")));
        return button;
      });
  }

  async function choose() {
    current = thresholds[Number(which.value)];
    let [low, high] = [current.low, current.high];
    follow = () => {};
    by("plot").replaceChildren();
    if (current.signal) {
      try {
        const shown = await ask("/api/histogram", { signal: current.signal });
        const [picture, move] = histogram(shown, by("plot").clientWidth || 800);
        const epsilon = current.kind === "epsilon"; // the plot is of similarities
        follow = epsilon ? (value) => move(1 - value) : move;
        [low, high] = epsilon ? [Math.max(1e-6, 1 - shown.high), Math.min(1, 1 - shown.low)] : [shown.low, shown.high];
        by("plot").replaceChildren(picture, LEGEND);
      } catch (error) {
        complain(error);
        return;
      }
    }
    const whole = Number.isInteger(current.value) && Number.isInteger(low) && high - low >= 8;
    slider.min = low;
    slider.max = high;
    slider.step = current.kind === "count" ? Math.max(1, Math.round((high - low) / STEPS)) : whole ? 1 : (high - low) / STEPS;
    slider.setAttribute("aria-label", current.path);
    set(current.value);
  }

  /** The job's own value stays as it is, to the last digit: cut, it could ask for a change that nobody made. */
  function rounded(value) {
    return value === current.value || Number.isInteger(value) ? value : Number(value.toPrecision(6));
  }

  const MEANING = { epsilon: "epsilon", share: "share kept", count: "samples kept" };

  function set(value) {
    slider.value = value;
    exact.value = rounded(Number(value));
    by("setting").textContent = MEANING[current.kind] ?? `${current.signal} ${current.side === "min" ? "at least" : "at most"}`;
    count(Number(exact.value));
  }

  async function count(value) {
    const mine = ++asked;
    follow(value);
    const fields = current.signal ? { step: current.step, signal: current.signal, side: current.side, value } : { step: current.step, value };
    try {
      const found = await ask(current.signal ? "/api/threshold" : "/api/keep", fields);
      if (mine !== asked) return;
      complain(null);
      by("moved").replaceChildren(...(current.signal ? moved(found) : budget(found)));
      by("flips").replaceChildren(...ways(found, value));
      by("command").textContent = next(found, value);
    } catch (error) {
      if (mine === asked) complain(error);
    }
  }

  /** What these numbers leave open, and which command answers it. A share is written with a point: 1 is one sample. */
  function next(found, value) {
    const setting = `--set ${current.path}=${current.kind === "share" && Number.isInteger(value) ? value.toFixed(1) : value}`;
    if (found.unscored) {
      return `${number(found.unscored)} of these were never scored by later steps (${current.scoring.join(", ")}); only a run can tell: ` +
        `tamis run RUN/job.yaml --output NEW ${setting}`;
    }
    return current.last
      ? `Exact: no later step decides. tamis whatif RUN ${setting} names the samples.`
      : `What the later steps then do: tamis whatif RUN ${setting}`;
  }

  function moved(found) {
    const change = found.passing - found.passing_now;
    return [
      line(`${number(found.passing)} of ${number(found.reaching)} pass ${current.step}`, found.passing, found.reaching, signed(change)),
      line(`${number(found.kept)} of ${number(found.kept_now)} kept samples would still pass`, found.kept, found.kept_now, signed(found.kept - found.kept_now)),
    ];
  }

  function budget(found) {
    return [
      line(`${number(found.kept)} of ${number(found.reaching)} ${current.last ? "kept" : `pass ${current.step}`}`, found.kept, found.reaching, signed(found.kept - found.kept_now)),
      make("p", {}, `${number(found.more)} of ${number(found.concepts)} concepts ${current.last ? "keep" : "let pass"} more, ${number(found.fewer)} fewer`),
    ];
  }

  function line(words, part, whole, change) {
    return make("div", { class: "line" }, make("span", {}, words), bar([["kept", part], ["dropped", whole - part]], whole),
      make("span", { class: "change" }, `${share(part, whole)}, ${change}`));
  }

  function signed(value) {
    return value > 0 ? `+${number(value)}` : value < 0 ? `-${number(-value)}` : "no change";
  }

  let waiting = 0;
  const soon = (value) => { clearTimeout(waiting); waiting = setTimeout(() => set(value), 80); };
  which.addEventListener("change", choose);
  slider.addEventListener("input", () => { follow(Number(slider.value)); soon(slider.value); });
  exact.addEventListener("change", () => exact.value !== "" && set(exact.value));
  choose();
}
