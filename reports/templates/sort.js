"use strict";
// Sort by the column whose heading is pressed; numbers as numbers, missing values last both ways.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const valueOf = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = new Intl.Collator("en", { numeric: true });
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [left, right] = [valueOf(a, column), valueOf(b, column)];
      if (left === "" || right === "") return (left === "") - (right === "");
      const [x, y] = [Number(left), Number(right)];
      const order = Number.isNaN(x) || Number.isNaN(y) ? text.compare(left, right) : x - y;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
}
