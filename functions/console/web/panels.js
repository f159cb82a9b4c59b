// The panels of the present state. Each function draws one from a status.

import { bar, byId, el, fillTable, keyed, setText } from "./dom.js";
import { brief, clock, count, duration, minute, percent, span } from "./format.js";
import { fillOf, firstOf, lately, outages, spillOf } from "./data.js";

/** The figures at a glance. */
export function tiles(status) {
  const { history, totals } = status;
  const tokens = lately(history, "pools", "tokens", 600);
  const spilled = lately(history, "pools", "spilled", 600);
  const figures = [
    ["Calls", brief(lately(history, "deployments", "requests", 60)), "in the last minute"],
    ["Tokens", brief(lately(history, "deployments", "tokens", 60)), "in the last minute"],
    ["Spilled", tokens ? percent(spilled / tokens) : "–", "of tokens, ten minutes"],
    ["In flight", brief(status.deployments.reduce((sum, d) => sum + d.inFlight, 0)), "at backends now"],
    ["Refused", brief(totals.rateLimited), `429 of ${brief(totals.requests)} since ${clock(status.started).slice(0, 5)}`],
    ["Failed", brief(totals.failed), `5xx of ${brief(totals.requests)} since ${clock(status.started).slice(0, 5)}`],
  ];
  keyed(byId("tiles"), figures, ([name]) => name,
    ([name]) => el("div", { class: "tile" }, el("span", { class: "quiet", text: name }), el("strong"), el("span", { class: "quiet" })),
    (tile, [, figure, note]) => {
      setText(tile.children[1], figure);
      setText(tile.children[2], note);
    });
}

/** The pool's fill and spill. */
export function fill(status, pool, seconds, chart, theme) {
  const of = fillOf(status, pool, seconds);
  const first = firstOf(status, pool);
  const times = of.steps.map((s) => s.time);
  const anything = status.totals.requests > 0 || of.steps.some((s) => s.taken > 0);
  byId("fill-empty").hidden = anything;
  const last = of.steps.at(-1);
  const limit = of.limit === null ? "without a token limit" : `limit ${count(of.limit)} tokens a minute`;
  const label = last
    ? `Pool ${pool.name}, ${limit}. This minute so far: ${count(Math.round(last.taken))} tokens on the first priority (${first.map((d) => d.id).join(", ")}), ${count(last.spilled)} spilled.`
    : `Pool ${pool.name}, ${limit}. No history yet.`;
  chart.seconds = seconds;
  chart.step = of.stepSeconds;
  chart.limit = of.limit;
  // What is spilled stands behind, as high as both together.
  chart.draw([
    times, of.steps.map((s) => s.taken + s.spilled), of.steps.map((s) => s.taken),
  ], `${theme} ${seconds}`, label);
  const whole = of.steps.filter((s, i) => i === of.steps.length - 1 || (s.time + of.stepSeconds) % 60 === 0);
  fillTable(byId("fill-table"), "Tokens by minute", [
    { title: "Minute", kind: "name", cell: (s) => minute(s.time) },
    { title: "First priority", kind: "number", cell: (s) => count(Math.round(s.taken)) },
    { title: "Of its limit", kind: "number", cell: (s) => (of.limit ? percent(s.taken / of.limit) : "–") },
    { title: "Spilled here", kind: "number", cell: (s) => count(s.spilled) },
  ], whole.toReversed(), (s) => Math.floor(s.time / 60));
}

/** What a deployment is doing, in a word, and how grave that is. */
function condition(d, now) {
  const left = (until) => span((Date.parse(until) - now) / 1000);
  if (d.breaker === "open") return [`open${d.openUntil ? `, a trial in ${left(d.openUntil)}` : ", a trial is due"}`, "bad"];
  if (d.breaker !== "closed") return ["half-open: a trial runs", "warn"];
  if (d.throttledUntil) return [`throttled for ${left(d.throttledUntil)}`, "busy"];
  return ["in service", "good"];
}

/** A limit's headroom and when it begins anew. */
const headroom = (limit, now) => (limit ? `${brief(limit.remaining)} of ${brief(limit.limit)}, ${span((Date.parse(limit.resetAt) - now) / 1000)}` : "no limit");

/** All deployments as they stand. */
export function deployments(status) {
  const now = Date.parse(status.now);
  const priority = new Map(status.pools.flatMap((pool) => pool.members.map((m) => [m.deployment, m.priority])));
  fillTable(byId("deployments"), "Deployments as they stand", [
    { title: "Deployment", kind: "name", cell: (d) => d.id },
    { title: "Breaker", cell: (d) => pill(...condition(d, now)) },
    { title: "Fill", kind: "fill", cell: (d) => bar(d.fill, percent(d.fill)) },
    { title: "Tokens left", kind: "number", cell: (d) => headroom(d.tokens, now) },
    { title: "Requests left", kind: "number", cell: (d) => headroom(d.requests, now) },
    { title: "In flight", kind: "number", cell: (d) => count(d.inFlight) },
    { title: "Priority", kind: "number", cell: (d) => priority.get(d.id) ?? "–" },
    { title: "Calls", kind: "number", cell: (d) => count(d.counts.requests) },
    { title: "Share", kind: "number", cell: (d) => percent(d.share) },
    { title: "429", kind: "number", cell: (d) => count(d.counts.throttled) },
    { title: "Errors", kind: "number", cell: (d) => count(d.counts.errors) },
  ], status.deployments, (d) => d.id);
}

/** A cell with a word that has a colour. */
const pill = (text, grade) => ({
  node(cell) {
    if (!cell.firstElementChild) cell.append(el("span"));
    cell.firstElementChild.className = `pill ${grade}`;
    setText(cell.firstElementChild, text);
  },
});

/** Calls and tokens by deployment, as bars and as a table. */
export function shares(status) {
  const spill = spillOf(status);
  const tokensOf = (d) => d.counts.promptTokens + d.counts.completionTokens;
  const most = (of) => Math.max(1, ...status.deployments.map(of));
  const mostCalls = most((d) => d.counts.requests);
  const mostTokens = most(tokensOf);
  const place = byId("share-chart");
  place.setAttribute("aria-label", status.deployments.map((d) => `${d.id}: ${count(d.counts.requests)} calls, ${count(tokensOf(d))} tokens`).join("; "));
  keyed(place, status.deployments, (d) => d.id, () => el("div", { class: "item" }, el("span", { class: "name" }), el("div"), el("div")), (item, d) => {
    setText(item.children[0], d.id);
    const kind = spill.has(d.id) ? "spill" : "";
    bar(d.counts.requests / mostCalls, `${brief(d.counts.requests)} calls`, kind).node(item.children[1]);
    bar(tokensOf(d) / mostTokens, `${brief(tokensOf(d))} tokens`, kind).node(item.children[2]);
  });
  fillTable(byId("share-table"), "Calls and tokens by backend", [
    { title: "Deployment", kind: "name", cell: (d) => d.id },
    { title: "Region", cell: (d) => d.region || "–" },
    { title: "Calls", kind: "number", cell: (d) => count(d.counts.requests) },
    { title: "Share", kind: "number", cell: (d) => percent(d.share) },
    { title: "Spilled to it", kind: "number", cell: (d) => count(d.counts.spilled) },
    { title: "Prompt tokens", kind: "number", cell: (d) => count(d.counts.promptTokens) },
    { title: "Completion tokens", kind: "number", cell: (d) => count(d.counts.completionTokens) },
    { title: "Attempts", kind: "number", cell: (d) => count(d.counts.attempts) },
    { title: "429", kind: "number", cell: (d) => count(d.counts.throttled) },
    { title: "Errors", kind: "number", cell: (d) => count(d.counts.errors) },
  ], status.deployments, (d) => d.id);
}

/** Percentiles as ranges on a log scale of milliseconds, and as a table. */
export function latency(status) {
  const all = status.deployments.flatMap((d) => [d.timeToFirstByte, d.latency]).filter((p) => p.count);
  const low = 10 ** Math.floor(Math.log10(Math.max(0.1, Math.min(...all.map((p) => p.p50)))));
  const high = 10 ** Math.ceil(Math.log10(Math.max(1, ...all.map((p) => p.p99)) * 1.001));
  const at = (ms) => `${(Math.log(Math.min(Math.max(ms, low), high) / low) / Math.log(high / low)) * 100}%`;
  const place = byId("latency-chart");
  place.setAttribute("aria-label", status.deployments.map((d) =>
    `${d.id}: first byte p50 ${duration(d.timeToFirstByte.p50)}, p99 ${duration(d.timeToFirstByte.p99)}; whole answer p50 ${duration(d.latency.p50)}, p99 ${duration(d.latency.p99)}`).join("; "));
  const range = (item, p) => {
    const line = item.firstElementChild;
    line.hidden = !p.count;
    line.style.left = at(p.p50);
    line.style.right = `calc(100% - ${at(p.p99)})`;
    const middle = p.p99 > p.p50 ? Math.log(p.p95 / p.p50) / Math.log(p.p99 / p.p50) : 0;
    line.firstElementChild.style.left = `${middle * 100}%`;
    setText(item.nextElementSibling, p.count ? `${duration(p.p50)} | ${duration(p.p95)} | ${duration(p.p99)}` : "no calls");
  };
  const track = (kind) => el("div", { class: `track ${kind}` }, el("i", {}, el("b")));
  keyed(place, status.deployments, (d) => d.id,
    () => el("div", { class: "item" }, el("span", { class: "name" }), track("first"), el("span", { class: "figure" }), track("whole"), el("span", { class: "figure" })),
    (item, d) => {
      setText(item.children[0], d.id);
      range(item.children[1], d.timeToFirstByte);
      range(item.children[3], d.latency);
    });
  fillTable(byId("latency-table"), "Latency of the last five minutes", [
    { title: "Deployment", kind: "name", cell: (d) => d.id },
    { title: "Answers", kind: "number", cell: (d) => count(d.latency.count) },
    ...["p50", "p95", "p99"].map((p) => ({ title: `First byte ${p}`, kind: "number", cell: (d) => duration(d.timeToFirstByte[p]) })),
    ...["p50", "p95", "p99"].map((p) => ({ title: `Whole ${p}`, kind: "number", cell: (d) => duration(d.latency[p]) })),
  ], status.deployments, (d) => d.id);
}

const kindNames = {
  opened: "opened", half_open: "half-open: a trial runs", closed: "closed", throttled: "throttled", lifted: "throttle lifted",
  unusable: "row of the table unusable", degraded: "table down", recovered: "table back",
};

/** The breakers' hour, or the part of it since the start, and the events as a table. */
export function breakers(status, seconds) {
  const to = Date.parse(status.now);
  const from = Math.max(to - seconds * 1000, Math.min(Date.parse(status.started), to - 60_000));
  setText(byId("breakers-span"), `${clock(from).slice(0, 5)} to ${clock(to).slice(0, 5)}`);
  const at = (time) => `${((time - from) / (to - from)) * 100}%`;
  const place = byId("breakers-chart");
  const known = status.deployments.map((d) => [d, outages(status, d, from, to)]);
  const sum = (parts, kind) => span(parts.filter((p) => p.kind === kind).reduce((s, p) => s + p.to - p.from, 0) / 1000);
  place.setAttribute("aria-label", known.map(([d, parts]) => `${d.id}: now ${condition(d, to)[0]}; open for ${sum(parts, "open")}, throttled for ${sum(parts, "throttled")}`).join(". "));
  keyed(place, known, ([d]) => d.id, () => el("div", { class: "item" }, el("span", { class: "name" }), el("div", { class: "lane" })), (item, [d, parts]) => {
    setText(item.children[0], d.id);
    keyed(item.children[1], parts, (p) => `${p.kind} ${p.from}`, (p) => el("i", { class: p.kind }), (mark, p) => {
      mark.style.left = at(p.from);
      mark.style.width = `max(2px, ${((p.to - p.from) / (to - from)) * 100}%)`;
      mark.title = `${p.kind} ${clock(p.from)} to ${clock(p.to)}`;
    });
  });
  fillTable(byId("events"), "Events of breakers and throttles, the latest first", [
    { title: "Time", kind: "name", cell: (e) => clock(e.at) },
    { title: "Deployment", cell: (e) => e.deployment || "all" },
    { title: "Event", cell: (e) => kindNames[e.kind] ?? e.kind },
    { title: "Until", cell: (e) => (e.until ? clock(e.until) : "–") },
    { title: "Reason", cell: (e) => (e.reason || "–").replaceAll("_", " ") },
    { title: "Status", kind: "number", cell: (e) => e.status || "–" },
  ], status.events.toReversed().slice(0, 200), (e) => `${e.at} ${e.deployment} ${e.kind}`);
}

/** The most active consumers, what they used, and what they may still use. */
export function consumers(status) {
  const { mostActive, seen } = status.consumers;
  byId("consumers-empty").hidden = seen > 0;
  setText(byId("consumers-note"), seen > mostActive.length ? `the ${mostActive.length} most active of ${count(seen)}` : "the most active first");
  const now = Date.parse(status.now);
  const ends = (l) => span((Date.parse(l.resetAt) - now) / 1000);
  const names = (l) => `${l.name}${l.model ? ` of ${l.model}` : ""}`;
  fillTable(byId("consumers"), "Consumers, the most active first", [
    { title: "Consumer", kind: "name", cell: (c) => c.name + (c.shadow ? " (limits only counted)" : "") },
    { title: "Calls", kind: "number", cell: (c) => count(c.requests) },
    { title: "Tokens", kind: "number", cell: (c) => brief(c.promptTokens + c.completionTokens) },
    { title: "Spilled", kind: "number", cell: (c) => count(c.spilled) },
    { title: "429", kind: "number", cell: (c) => count(c.limited) },
    { title: "5xx", kind: "number", cell: (c) => count(c.errors) },
    { title: "Last call", kind: "number", cell: (c) => `${span((now - Date.parse(c.last)) / 1000)} ago` },
    {
      title: "Limits used", kind: "limits",
      cell: (c) => ({
        node(cell) {
          keyed(cell, c.limits.length ? c.limits : [null], (l) => (l ? names(l) : ""), () => el("div", { class: "limit" }, el("span", { class: "quiet" }), el("div")), (line, l) => {
            setText(line.children[0], l ? names(l) : "no limits");
            const used = l ? (l.limit - l.remaining) / l.limit : null;
            bar(used, l ? `${brief(l.remaining)} of ${brief(l.limit)} left, ${ends(l)}` : "", used >= 0.98 ? "full" : "").node(line.children[1]);
          });
        },
      }),
    },
  ], mostActive, (c) => c.name);
}
