// Usage by day, from the ledger: asked for when somebody signs in or asks again, not
// with every poll.

import { CallError } from "./api.js";
import { byId, fillTable, setNotice, setText } from "./dom.js";
import { count } from "./format.js";
import { usageChart } from "./charts.js";

const chart = usageChart(byId("usage-chart"));
let report = null; // the latest

/** What the controls ask for. */
const query = () => ({ from: byId("usage-from").value, by: `day,${byId("usage-by").value}` });

/** Asks for the usage and draws it. */
export async function load(session, theme) {
  const empty = byId("usage-empty");
  byId("usage-load").disabled = true;
  setNotice(byId("usage-problem"), "");
  if (!report) {
    empty.hidden = false;
    setText(empty, "Loading…");
  }
  try {
    report = await session.usage(query());
    draw(theme);
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    empty.hidden = true;
    setNotice(byId("usage-problem"), `The usage cannot be shown. ${error.message}`);
  } finally {
    byId("usage-load").disabled = false;
  }
}

/** Forgets what was shown. */
export function clear() {
  report = null;
  chart.clear();
  byId("usage-table").replaceChildren();
}

/** Draws the latest report, in the colours of a theme. */
export function draw(theme) {
  if (!report) return;
  const column = report.by[1];
  const empty = byId("usage-empty");
  empty.hidden = report.rows.length > 0;
  setText(empty, "Nothing was used in this time.");
  byId("usage-chart").hidden = report.rows.length === 0;
  const days = new Map();
  for (let day = dayOf(report.from); day < Date.parse(report.to) / 86400000; day++) days.set(day, { prompt: 0, completion: 0 });
  for (const row of report.rows) {
    const sum = days.get(dayOf(row.day));
    if (!sum) continue;
    sum.prompt += row.prompt_tokens;
    sum.completion += row.completion_tokens;
  }
  const sums = [...days.values()];
  if (report.rows.length) {
    chart.draw([[...days.keys()], sums.map((s) => s.prompt + s.completion), sums.map((s) => s.prompt)], `${theme} ${days.size}`,
      `Tokens by day: ${count(report.total.prompt_tokens)} prompt and ${count(report.total.completion_tokens)} completion tokens of ${count(report.total.requests)} calls.`);
  }
  const most = 1000;
  fillTable(byId("usage-table"), `Usage by day and ${column}`, [
    { title: "Day", kind: "name", cell: (r) => r.day },
    { title: "Of", kind: "of", cell: (r) => r[column] || "–" },
    { title: "Calls", kind: "number", cell: (r) => count(r.requests) },
    { title: "Errors", kind: "number", cell: (r) => count(r.errors) },
    { title: "Prompt tokens", kind: "number", cell: (r) => count(r.prompt_tokens) },
    { title: "Cached", kind: "number", cell: (r) => count(r.cached_tokens) },
    { title: "Completion tokens", kind: "number", cell: (r) => count(r.completion_tokens) },
    { title: "Cost", kind: "number", cell: (r) => r.cost.toFixed(2) },
  ], report.rows.toReversed().slice(0, most), (r) => `${r.day} ${r[column]}`);
}

const dayOf = (text) => Math.floor(Date.parse(text) / 86400000);

/** Fetches the same as a file, with the key, and hands it to the browser. */
export async function download(session) {
  setNotice(byId("usage-problem"), "");
  try {
    const file = await session.usageFile(query());
    const address = URL.createObjectURL(file.content);
    const link = document.createElement("a");
    link.href = address;
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    setNotice(byId("usage-problem"), `The file cannot be made. ${error.message}`);
  }
}
