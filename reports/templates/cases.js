// The case browser: list, plot, and the controls of the viewer.
const $ = (id) => document.getElementById(id);
const index = JSON.parse($("case-index").textContent);
const keyOf = new Map(index.cases.map((entry, i) => [entry.key, i]));
const links = [...document.querySelectorAll("#case-table tbody a")];  // in the order of the cases
const hash = (key) => `#case:${encodeURIComponent(key).replaceAll("%2F", "/")}`;
const make = (tag, properties = {}, ...children) => {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
};

const canvases = [...document.querySelectorAll("#viewer canvas[data-axis]")];
const sliders = [...document.querySelectorAll("#viewer input[data-axis]")];
const colours = new Map([[REFERENCE, index.truth], ...index.methods.map((m) => [m.name, m.colour])]);
const dashes = new Map(index.methods.map((m) => [m.name, m.dash]));
const borders = new Map([[REFERENCE, "#000"], ...index.methods.map((m) => [m.name, m.border])]);
const viewer = new Viewer(canvases, colours, dashes, borders, told);
viewer.shown = new Set([REFERENCE, ...index.methods.filter((m) => !m.control).map((m) => m.name)]);
if (viewer.shown.size === 1) index.methods.forEach((m) => viewer.shown.add(m.name));
const solid = new Solid($("solid"), viewer);
const sure = (value) => Number(value.toPrecision(3)).toLocaleString("en");
const listed = (values) => values.join(", ") || "none";

// Say where the views are and what is there, to eyes and to screen readers.
function told() {
  const { entry } = viewer;
  const unit = entry.channels[viewer.channel].values[0] === -1024 ? " HU" : "";
  VIEWS.forEach(({ name }, axis) => {
    const slice = `${viewer.at[axis] + 1} of ${entry.shape[axis]}`;
    const there = viewer.visible().filter((mask) => viewer.touches(mask, axis));
    sliders[axis].value = viewer.at[axis];
    sliders[axis].setAttribute("aria-valuetext", `slice ${slice}`);
    sliders[axis].parentElement.querySelector("output").textContent = slice;
    canvases[axis].setAttribute("aria-label", `${name} slice ${slice}. In it: ${listed(there)}.`);
  });
  const { value, masks } = viewer.here;
  $("here").textContent = `At the crosshair: grey value ${sure(value)}${unit}; in ${listed(masks)}.`;
  const [low, high] = viewer.window ?? [0, 1];
  for (const [id, number] of [["level", (low + high) / 2], ["width", high - low]]) {
    $(id).value = number;
    $(id).setAttribute("aria-valuetext", `${sure(number)}${unit}`);
    $(id).parentElement.querySelector("output").textContent = `${sure(number)}${unit}`;
  }
}

function preset(name) {
  const [, low, high] = viewer.entry.channels[viewer.channel].windows.find(([n]) => n === name);
  $("preset").value = name;
  viewer.setWindow(low, high);
  told();
}

function channel(number) {
  viewer.channel = number;
  const { values, windows } = viewer.entry.channels[number];
  const [low, high] = [values[0], values.at(-1)];
  Object.assign($("level"), { min: low, max: high, step: (high - low) / 1000 });
  Object.assign($("width"), { min: (high - low) / 1000, max: high - low, step: (high - low) / 1000 });
  $("preset").replaceChildren(...windows.map(([name]) => make("option", { value: name }, name)),
    make("option", { value: "", disabled: true }, "by hand"));
  preset(windows[0][0]);
}

// A background like the line of a mask.
function stripes(colour, dash) {
  if (!dash?.length) return colour;
  const [on, off] = dash.map((length) => length * THIN);
  return `repeating-linear-gradient(90deg, ${colour} 0 ${on}px, transparent ${on}px ${on + off}px)`;
}

function maskList() {
  const { entry } = viewer;
  const rows = [REFERENCE, ...index.methods.map((m) => m.name)].map((name, place) => {
    const there = viewer.pixels.masks.has(name);
    const answer = entry.answers[name];
    const box = make("input", { type: "checkbox", checked: there && viewer.shown.has(name), disabled: !there });
    box.dataset.mask = name;
    const swatch = make("span", { className: "swatch", ariaHidden: "true" });
    swatch.style.background = stripes(colours.get(name), dashes.get(name));
    const score = name === REFERENCE ? "" : answer?.dsc != null ? answer.dsc.toFixed(3) : "none";
    const key = place < 10 ? make("kbd", { ariaHidden: "true" }, String(place)) : "";
    const label = make("label", { title: there ? "" : answer?.reason ?? "no mask" }, box, swatch,
      make("span", { className: "mask-name" }, name, there ? "" : ` (${answer?.reason || "no mask"})`), make("span", { className: "score" }, score), key);
    if (!there) label.classList.add("absent");
    return label;
  });
  $("mask-list").replaceChildren(...rows);
  const drawn = index.methods.map((m) => m.name).filter((name) => entry.masks.includes(name));
  const methods = drawn.map((name) => make("option", { value: name }, name));
  const before = viewer.errorOf;
  $("error-of").querySelector("select").replaceChildren(...methods);
  viewer.errorOf = drawn.includes(before) ? before : drawn[0] ?? null;
  $("error-of").querySelector("select").value = viewer.errorOf ?? "";
}

function toggle(name, on = !viewer.shown.has(name)) {
  if (on) viewer.shown.add(name);
  else viewer.shown.delete(name);
  for (const box of document.querySelectorAll("[data-mask]")) {
    if (box.dataset.mask === name && !box.disabled) box.checked = on;
  }
  viewer.draw();
  told();
  solid.draw();
}

const read = new Map();
async function pixelsOf(i) {
  if (!read.has(i)) read.set(i, await unpack($(`case-pixels-${i}`).textContent, index.cases[i]));
  if (read.size > 4) read.delete(read.keys().next().value);
  return read.get(i);
}

let opened = -1;
async function open(i) {
  opened = i;
  const entry = index.cases[i];
  const pixels = await pixelsOf(i);
  if (opened !== i) return;  // another one was asked for meanwhile
  $("viewer").hidden = false;
  viewer.grey = null;
  viewer.open(entry, pixels);
  sliders.forEach((slider, axis) => { slider.max = entry.shape[axis] - 1; });
  $("case-name").textContent = `${entry.dataset}: ${entry.structure}, ${entry.object}`;
  const size = entry.shape.map((n, a) => `${sure(n * entry.spacing[a])}`).reverse().join(" × ");
  const coarse = Math.max(...entry.step) > 1
    ? ` Shown at a lower resolution: every voxel represents ${entry.step.toReversed().join(" × ")} (x, y, z).` : "";
  $("case-about").textContent = `${entry.modality}; ${entry.kinds.join(", ")}; mean DSC `
    + `${entry.mean?.toFixed(3) ?? "none"}, spread ${entry.spread?.toFixed(3) ?? "none"}. Crop of ${size} mm.${coarse}`;
  $("channel").parentElement.hidden = entry.channels.length < 2;
  $("channel").replaceChildren(...entry.channels.map(({ name }, n) => make("option", { value: n }, name || "image")));
  maskList();
  channel(0);
  for (const link of links) link.removeAttribute("aria-current");
  links[i].setAttribute("aria-current", "true");
  markPlot(entry.key);
  solid.draw();
}

// The case before or after, as the table is sorted and filtered now.
function walk(by) {
  const rows = [...document.querySelectorAll("#case-table tbody tr")].filter((row) => !row.hidden);
  if (!rows.length) return;
  const place = rows.indexOf(links[opened]?.closest("tr"));
  const row = rows[(place + by + rows.length) % rows.length];
  const i = links.indexOf(row.querySelector("a"));
  history.replaceState(null, "", hash(index.cases[i].key));
  open(i);
}

$("case-back").addEventListener("click", () => walk(-1));
$("case-on").addEventListener("click", () => walk(1));
$("mask-list").addEventListener("change", (event) => toggle(event.target.dataset.mask, event.target.checked));
for (const [id, on] of [["masks-all", true], ["masks-none", false]]) {
  $(id).addEventListener("click", () => viewer.entry.masks.forEach((name) => toggle(name, on)));
}
$("solid-show").addEventListener("click", async () => {
  $("solid-show").hidden = true;
  if (await solid.start()) {
    await solid.draw();
    solid.canvas.focus({ preventScroll: true });
  }
});
for (const slider of sliders) {
  slider.addEventListener("input", () => viewer.go(Number(slider.dataset.axis), slider.valueAsNumber));
}
for (const swatch of document.querySelectorAll("[data-colour]")) {
  swatch.style.background = swatch.dataset.colour === "added" ? ADDED : index.truth;
}
$("drawn").addEventListener("change", () => {
  viewer.drawn = $("drawn").value;
  $("error-of").hidden = viewer.drawn !== "error";
  viewer.draw();
});
$("error-of").addEventListener("change", (event) => { viewer.errorOf = event.target.value; viewer.draw(); });
for (const id of ["smooth", "cross"]) {
  $(id).addEventListener("change", () => { viewer[id] = $(id).checked; viewer.draw(); });
}
$("channel").addEventListener("change", () => channel(Number($("channel").value)));
$("preset").addEventListener("change", () => preset($("preset").value));
for (const id of ["level", "width"]) {
  $(id).addEventListener("input", () => {
    const [level, half] = [$("level").valueAsNumber, $("width").valueAsNumber / 2];
    $("preset").value = "";
    viewer.setWindow(level - half, level + half);
    told();
  });
}
$("viewer").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
  const names = [REFERENCE, ...index.methods.map((m) => m.name)];
  const key = event.key.toLowerCase();
  if (/^[0-9]$/.test(key) && viewer.pixels.masks.has(names[key])) toggle(names[key]);
  else if (key === "n") walk(1);
  else if (key === "p") walk(-1);
  else if (key === "g") viewer.begin();
  else if (key === "w") {
    const all = viewer.entry.channels[viewer.channel].windows.map(([name]) => name);
    preset(all[(all.indexOf($("preset").value) + 1) % all.length]);
  } else return;
  event.preventDefault();
});

// #case:KEY opens a case, #cases:WORDS shows the cases whose rows hold the words.
function follow() {
  const [kind, ...rest] = decodeURIComponent(location.hash.slice(1)).split(":");
  const asked = rest.join(":");
  if (kind === "case" && keyOf.has(asked)) {
    open(keyOf.get(asked)).then(() => {
      $("viewer").scrollIntoView({ block: "start" });
      $("case-name").focus({ preventScroll: true });
    });
  } else if (kind === "cases" && asked) {
    const bar = $("case-table").parentElement.previousElementSibling;
    const input = bar?.matches(".filter") ? bar.querySelector("input") : null;
    if (input) {
      input.value = asked;
      input.dispatchEvent(new Event("input"));
    }
    filterPlot(asked.split("/")[0]);
    $("cases").scrollIntoView();
  }
}
addEventListener("hashchange", follow);
if (index.points.length) makePlot($("plot"));
if (index.cases.length) await open(0);
follow();
