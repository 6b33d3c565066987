"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // Colours: the person's choice is kept where the browser lets a file keep anything.
  const kept = { get: () => { try { return localStorage.getItem("servo-emr-theme"); } catch { return null; } },
                 set: (value) => { try { localStorage.setItem("servo-emr-theme", value); } catch { return; } } };
  const colour = (theme) => { if (theme === "light" || theme === "dark") root.dataset.theme = theme; else delete root.dataset.theme; };
  for (const radio of document.querySelectorAll("input[name=theme]")) {
    radio.checked = radio.value === (kept.get() || "auto");
    radio.addEventListener("change", () => { colour(radio.value); kept.set(radio.value); });
  }
  colour(kept.get());

  // The table of all runs: sorting, filtering, one run's details.
  const table = document.getElementById("all-runs");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const headings = Array.from(table.tHead.rows[0].cells);
  const collator = new Intl.Collator("en", { numeric: true });

  function keyOf(row, column) {
    const cell = row.cells[column];
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.textContent;
  }

  function compare(first, second) {
    if (typeof first === "number" && typeof second === "number") return first - second;
    return collator.compare(String(first), String(second));
  }

  // A cell without a value stands last, whichever way is sorted.
  const without = (key) => key === "" || key === "\u2013";

  function sort(column, direction) {
    const keyed = rows.map((row) => [keyOf(row, column), row]);
    keyed.sort(([first], [second]) => without(first) - without(second) || (direction === "ascending" ? 1 : -1) * compare(first, second));
    body.append(...keyed.map(([, row]) => row));
    headings.forEach((heading, index) => index === column ? heading.setAttribute("aria-sort", direction) : heading.removeAttribute("aria-sort"));
  }

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      sort(column, now === "ascending" || (now === null && heading.classList.contains("never")) ? "descending" : "ascending");
    });
  });

  const find = document.getElementById("find");
  const kind = document.getElementById("kind");
  const shown = document.getElementById("shown");
  let texts = null;  // made when somebody first looks for something: that is what takes time with many runs
  const textOf = (row) => `${row.textContent} ${Array.from(row.cells, (cell) => cell.textContent).join(" ")} ${row.dataset.kind}`.toLowerCase();

  function filter() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    texts ??= rows.map(textOf);
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = (kind.value !== "" && row.dataset.kind !== kind.value) || !words.every((word) => texts[index].includes(word));
      count += row.hidden ? 0 : 1;
    });
    const runs = rows.length === 1 ? "1 run" : `${rows.length.toLocaleString("en")} runs`;
    shown.textContent = count === rows.length ? runs : `${count.toLocaleString("en")} of ${runs}`;
  }
  find.addEventListener("input", filter);
  kind.addEventListener("change", filter);
  document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());

  // Details are put into the page as text, never as markup: they are somebody else's words.
  const dialog = document.getElementById("details");
  const place = data.columns.indexOf("run_id");
  const byRun = new Map(data.rows.map((row) => [row[place], row]));

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  // A figure to six digits, as in the terminal: what is saved as CSV or JSON has them all.
  const shortened = (value) => String(typeof value === "number" ? Number(value.toPrecision(6)) : value);

  function details(run) {
    document.getElementById("details-title").textContent = `Run ${run}`;
    const parts = [];
    if (data.told[run]) parts.push(element("pre", data.told[run]));
    if (data.links[run]) {
      const link = element("a", "The cluster in the AWS console");
      link.href = data.links[run];
      link.rel = "noreferrer noopener";
      const line = document.createElement("p");
      line.append(link);
      parts.push(line);
    }
    const list = document.createElement("dl");
    byRun.get(run).forEach((value, index) => {
      if (value === null || value === "") return;
      list.append(element("dt", data.columns[index]), element("dd", shortened(value)));
    });
    document.getElementById("details-body").replaceChildren(...parts, list);
    dialog.showModal();
  }

  for (const row of rows) {
    const run = row.cells[0].textContent;
    const button = element("button", run);
    button.type = "button";
    button.setAttribute("aria-haspopup", "dialog");
    row.cells[0].replaceChildren(button);
  }
  body.addEventListener("click", (event) => {
    const button = event.target.closest("th button");
    if (button) details(button.textContent);
  });

  // A link to a run that the filter hides would lead nowhere.
  function follow(behavior) {
    const row = location.hash.startsWith("#run-") ? document.getElementById(location.hash.slice(1)) : null;
    if (row === null) return;
    if (row.hidden) { find.value = ""; kind.value = ""; filter(); }
    row.scrollIntoView({ block: "center", behavior });
    row.focus({ preventScroll: true });
  }
  addEventListener("hashchange", () => follow(reduced ? "instant" : "smooth"));
  // Charts that are drawn above a row push it away: until somebody moves, it is gone to once more when all are there.
  let moved = false;
  for (const name of ["wheel", "touchmove", "pointerdown", "keydown", "hashchange"]) addEventListener(name, () => { moved = true; }, { once: true, passive: true });

  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  // What a spreadsheet would run as a formula has an apostrophe before it.
  const plain = (value) => typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : value === null ? "" : String(value);
  const quoted = (value) => { const text = plain(value); return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
  const csv = document.getElementById("csv");
  csv.addEventListener("click", () => save("runs.csv", "text/csv", [data.columns, ...data.rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n"));
  const json = document.getElementById("json");
  json.addEventListener("click", () => save("runs.json", "application/json", JSON.stringify(data.rows.map((row) => Object.fromEntries(row.map((value, index) => [data.columns[index], value]))), null, 1)));
  csv.hidden = json.hidden = false;

  // The charts, one after another, each when there is nothing else to do: the page can be used meanwhile. Expressions
  // are interpreted, not compiled: the page's policy allows no evaluation of text.
  const idle = () => new Promise((resolve) => window.requestIdleCallback ? requestIdleCallback(resolve, { timeout: 1000 }) : setTimeout(resolve));
  async function draw() {
    for (const [name, spec] of Object.entries(data.charts)) {
      await idle();
      const result = await vegaEmbed(document.getElementById(`chart-${name}`), spec, {
        actions: false, ast: true, config: data.config, defaultStyle: false, renderer: "svg", mode: "vega-lite",
        tooltip: { disableDefaultStyle: true, theme: "page" },
      });
      result.view.addEventListener("click", (event, item) => {
        if (item && item.datum && byRun.has(item.datum.run)) location.hash = `run-${item.datum.run}`;
      });
    }
    root.dataset.drawn = "yes";
    if (!moved) follow("instant");
  }
  follow("instant");
  root.dataset.usable = "yes";
  addEventListener("load", draw);  // by then the library that draws them has been read, which comes after this
})();
