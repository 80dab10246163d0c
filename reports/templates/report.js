"use strict";
// Without this script the page reads the same; what needs it is hidden until it runs.
const text = new Intl.Collator("en", { numeric: true });

// Numbers as numbers: "< 0.001", "0.494 ± 0.036" and "11/12" by what they begin with.
function keyOf(cell) {
  const value = cell.dataset.value ?? cell.textContent.trim();
  if (!cell.matches("td.number, .numbers td:not(.text)")) return value;
  const number = Number.parseFloat(value.replace(/^[<>≤\s]+/, "").replaceAll(",", ""));
  return Number.isNaN(number) ? "" : number;
}

// Sort by the column whose heading is pressed; missing values come last both ways.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [left, right] = [keyOf(a.cells[column]), keyOf(b.cells[column])];
        if (left === "" || right === "") return (left === "") - (right === "");
        const order = typeof left === "number" ? left - right : text.compare(left, right);
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// Show the rows that hold every word.
for (const bar of document.querySelectorAll(".filter")) {
  const rows = [...bar.nextElementSibling.querySelector("table").tBodies[0].rows];
  const held = rows.map((row) => row.textContent.toLowerCase());
  const input = bar.querySelector("input");
  bar.hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    rows.forEach((row, i) => { row.hidden = !words.every((word) => held[i].includes(word)); });
    const shown = rows.filter((row) => !row.hidden).length;
    bar.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
  });
}

// Save what a table shows, in its order and filter, as csv.
const quoted = (cell) => {
  const value = cell.innerText.trim().replace(/\s+/g, " ").replace(/ [▲▼]$/, "");
  return /[",]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
};
for (const table of document.querySelectorAll("table.sortable")) {
  const region = table.closest(".scroll");
  const name = region.getAttribute("aria-label");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain save";
  button.textContent = "Save as CSV";
  button.setAttribute("aria-label", `Save the table as CSV: ${name}`);
  button.addEventListener("click", () => {
    const rows = [...table.rows].filter((row) => !row.hidden);
    const lines = rows.map((row) => [...row.cells].map(quoted).join(","));
    const link = document.createElement("a");
    link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(lines.join("\n") + "\n")}`;
    link.download = `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv`;
    document.body.append(link);
    link.click();
    link.remove();
  });
  const files = region.nextElementSibling;
  if (files?.matches(".files")) files.append(" ", button);
  else region.after(button);
}

// The picture of a figure stands in the page: its link works where the page is alone, too.
for (const figure of document.querySelectorAll("figure[id]")) {
  const source = figure.querySelector("img")?.src ?? "";
  const kind = source.startsWith("data:image/svg") ? "svg" : "png";
  const link = figure.querySelector(`.files a[href$=".${kind}"]`);
  if (!link) continue;
  link.download = `${figure.id}.${kind}`;
  link.href = source;
}

// On paper nothing can be opened: what is folded is shown, but for long tables.
const folded = [...document.querySelectorAll("details:not(.table)")];
addEventListener("beforeprint", () => {
  for (const part of folded) { part.dataset.was = part.open ? "open" : ""; part.open = true; }
});
addEventListener("afterprint", () => {
  for (const part of folded) part.open = part.dataset.was === "open";
});

const theme = document.getElementById("theme");
theme.closest("p").hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.theme = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
});

for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const source = document.getElementById(button.dataset.copies);
    getSelection().selectAllChildren(source);  // what stays where the clipboard is out of reach
    navigator.clipboard?.writeText(source.textContent).then(
      () => { button.textContent = "Copied"; },
      () => { button.textContent = "Selected: press Ctrl+C"; },
    );
  });
}
