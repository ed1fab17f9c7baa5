// A click on a column's head sorts by it; cells carry what they sort by where their text does not.
for (const head of document.querySelectorAll("table.sorted thead th")) {
  head.classList.add("sortable");
  head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[head.cellIndex];
      return head.classList.contains("number") ? parseFloat(cell.dataset.value ?? "-1") : cell.textContent;
    };
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
    body.append(...(up ? rows : rows.reverse()));
  });
}
