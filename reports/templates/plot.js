// Every object's DSC, a row a method: from a point to its case.
const SVG = "http://www.w3.org/2000/svg";
const ROW = 30;
const LEFT = 170;
const draw = (tag, attributes, parent) => {
  const found = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  parent.append(found);
  return found;
};

let points = [];
let medians = [];

function makePlot(place) {
  const [width, height] = [960, ROW * index.methods.length + 34];
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "DSC of objects by method; the table of cases gives that of the filled points" }, place);
  const x = (score) => LEFT + 10 + score * (width - LEFT - 30);
  for (let tick = 0; tick <= 5; tick += 1) {
    draw("line", { x1: x(tick / 5), x2: x(tick / 5), y1: 0, y2: height - 28, class: "grid" }, svg);
    draw("text", { x: x(tick / 5), y: height - 12, "text-anchor": "middle" }, svg).textContent = (tick / 5).toFixed(1);
  }
  index.methods.forEach((method, row) => {
    const label = draw("text", { x: LEFT, y: ROW * (row + 0.5) + 4, "text-anchor": "end" }, svg);
    label.textContent = method.name.length > 24 ? `${method.name.slice(0, 23)}…` : method.name;
    index.points.forEach(([dataset, object, ...scores], i) => {
      if (scores[row] === null) return;
      const key = `${dataset}/${object}`;
      const spread = ((i * 0.618034) % 1) - 0.5;  // even, and the same every time
      const circle = draw("circle", { cx: x(scores[row]), cy: ROW * (row + 0.5 + 0.72 * spread), r: 3.2, fill: method.colour, stroke: method.colour }, svg);
      if (!keyOf.has(key)) circle.setAttribute("class", "absent");
      points.push({ circle, row, key, dataset, score: scores[row], i });
    });
    medians.push(draw("line", { y1: ROW * (row + 0.1), y2: ROW * (row + 0.9), class: "median" }, svg));
  });
  const told = $("plot-told");
  const start = told.textContent;
  const of = (target) => points.find(({ circle }) => circle === target);
  svg.addEventListener("pointerover", (event) => {
    const point = of(event.target);
    for (const other of points) other.circle.classList.toggle("same", other.i === point?.i);
    told.textContent = point ? sentence(point) : start;
  });
  svg.addEventListener("click", (event) => {
    const point = of(event.target);
    if (point && keyOf.has(point.key)) location.hash = hash(point.key);
  });
  const datasets = [...new Set(points.map(({ dataset }) => dataset))].sort();
  $("plot-dataset").append(...datasets.map((name) => make("option", { value: name }, name)));
  $("plot-dataset").addEventListener("change", () => filterPlot($("plot-dataset").value));
  $("case-plot").hidden = false;
  place.medianAt = x;
  filterPlot("");
}

function sentence({ key, i }) {
  const scores = index.points[i].slice(2);
  const said = index.methods.map((m, row) => `${m.name} ${scores[row]?.toFixed(2) ?? "none"}`);
  return `${key}: ${said.join(", ")}${keyOf.has(key) ? "" : " (not in the case browser)"}`;
}

function filterPlot(dataset) {
  if (!points.length) return;
  $("plot-dataset").value = dataset;
  const rows = medians.map(() => []);
  for (const point of points) {
    const away = dataset !== "" && point.dataset !== dataset;
    point.circle.classList.toggle("away", away);
    if (!away) rows[point.row].push(point.score);
  }
  medians.forEach((line, row) => {
    const sorted = rows[row].sort((a, b) => a - b);
    const half = sorted.length / 2;
    const middle = (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
    line.classList.toggle("away", !sorted.length);
    if (sorted.length) for (const name of ["x1", "x2"]) line.setAttribute(name, $("plot").medianAt(middle));
  });
}

function markPlot(key) {
  for (const { circle, key: own } of points) {
    circle.classList.toggle("open", own === key);
    if (own === key) circle.parentNode.append(circle);  // above the others
  }
}
