"use strict";
(() => {
  const root = document.documentElement;

  // Light and dark: the system's choice, until the button says otherwise.
  const theme = document.getElementById("theme");
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const keep = (act) => { try { return act(); } catch { return null; } }; // files may have no storage
  const saved = keep(() => localStorage.getItem("efcompile-theme"));
  if (saved === "light" || saved === "dark") root.dataset.theme = saved;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    keep(() => localStorage.setItem("efcompile-theme", root.dataset.theme));
  });

  // Long tables show their first rows until asked for all.
  const shorten = (table) => {
    const limit = Number(table.dataset.more);
    [...table.tBodies[0].rows].forEach((row, index) => { row.hidden = index >= limit; });
  };
  for (const button of document.querySelectorAll("button.more")) {
    const table = document.getElementById(button.dataset.for);
    if (table.tBodies[0].rows.length <= Number(table.dataset.more)) continue;
    shorten(table);
    button.hidden = false;
    button.addEventListener("click", () => {
      table.dataset.more = "Infinity";
      shorten(table);
      button.hidden = true;
    });
  }

  // Sorting: numbers begin with the largest, names with A; rows without a number stay last.
  const key = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent.trim();
  };
  const sort = (table, column, descending) => {
    const body = table.tBodies[0];
    const sign = descending ? -1 : 1;
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
    });
    body.append(...rows.map(([, row]) => row));
    shorten(table);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      header.firstElementChild.addEventListener("click", () => {
        const now = header.getAttribute("aria-sort");
        const first = header.classList.contains("number") ? "descending" : "ascending";
        const other = first === "descending" ? "ascending" : "descending";
        const next = now === first ? other : first;
        for (const each of headers) each.setAttribute("aria-sort", each === header ? next : "none");
        sort(table, column, next === "descending");
      });
    });
  }
})();
