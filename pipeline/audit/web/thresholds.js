// A threshold to move, and the counts that follow it.

import { bar, histogram, make, number, share } from "/charts.js";

const by = (id) => document.getElementById(id);
const STEPS = 200;

/** Fills the panel. ask(path, fields) puts a question to the server. */
export function startThresholds(thresholds, ask, complain) {
  by("thresholds").hidden = !thresholds.length;
  if (!thresholds.length) return;
  const [which, slider, exact] = [by("which"), by("slider"), by("exact")];
  thresholds.forEach((one, i) => which.append(make("option", { value: i }, one.path)));
  let current = thresholds[0];
  let follow = () => {};
  let asked = 0;

  async function choose() {
    current = thresholds[Number(which.value)];
    let [low, high] = [0.01, 1];
    follow = () => {};
    by("plot").replaceChildren();
    if (current.signal) {
      try {
        const shown = await ask("/api/histogram", { signal: current.signal });
        const [picture, move] = histogram(shown);
        follow = move;
        [low, high] = [shown.low, shown.high];
        by("plot").replaceChildren(picture);
      } catch (error) {
        complain(error);
        return;
      }
    }
    const whole = Number.isInteger(current.value) && Number.isInteger(low) && high - low >= 8;
    slider.min = low;
    slider.max = high;
    slider.step = whole ? 1 : (high - low) / STEPS;
    slider.setAttribute("aria-label", current.path);
    set(current.value);
  }

  function set(value) {
    slider.value = value;
    exact.value = Number(Number(value).toPrecision(6));
    by("setting").textContent = current.signal ? `${current.signal} ${current.side === "min" ? "at least" : "at most"}` : "share kept";
    count(Number(exact.value));
  }

  async function count(value) {
    const mine = ++asked;
    follow(value);
    const fields = current.signal ? { step: current.step, signal: current.signal, side: current.side, value } : { value };
    try {
      const found = await ask(current.signal ? "/api/threshold" : "/api/keep", fields);
      if (mine !== asked) return;
      complain(null);
      by("moved").replaceChildren(...(current.signal ? moved(found) : budget(found)));
      const setting = current.epsilon ? Number((1 - value).toPrecision(6)) : value;
      by("command").textContent = current.signal
        ? `What the later steps then do: tamis whatif RUN --set ${current.path}=${setting}`
        : `Exact: nothing but the quotas decides. tamis whatif RUN --set ${current.path}=${setting} names the samples.`;
    } catch (error) {
      if (mine === asked) complain(error);
    }
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
      line(`${number(found.kept)} of ${number(found.reaching)} kept`, found.kept, found.reaching, signed(found.kept - found.kept_now)),
      make("p", {}, `${number(found.more)} of ${number(found.concepts)} concepts keep more, ${number(found.fewer)} keep fewer`),
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
