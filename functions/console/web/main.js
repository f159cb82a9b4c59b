// Signing in, asking every two seconds, and what is shown when that fails.

import { CallError, open } from "./api.js";
import { byId, el, keyed, setNotice, setText } from "./dom.js";
import { clock, span } from "./format.js";
import { joinStatus, sinceOf } from "./data.js";
import { fillChart } from "./charts.js";
import * as panels from "./panels.js";
import * as usage from "./usage.js";

const every = 2000; // milliseconds between two polls

let session = null;
let status = null; // the latest
let answered = 0; // when it came
let whole = true; // the next poll asks for the whole history
let paused = false;
let timer = 0;
const chart = fillChart(byId("fill-chart"));

// Signing in and out.

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const tried = open(byId("key").value.trim());
  setNotice(byId("problem"), "");
  byId("enter").disabled = true;
  setText(byId("enter"), "Asking…");
  try {
    const first = await tried.status(0);
    session = tried;
    byId("key").value = "";
    enter(first);
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    setNotice(byId("problem"), error.message);
    byId("key").select();
  } finally {
    byId("enter").disabled = false;
    setText(byId("enter"), "Sign in");
  }
});

function enter(first) {
  for (const id of ["room", "facts", "live", "pause", "sign-out"]) byId(id).hidden = false;
  byId("sign-in").hidden = true;
  take(first, 0);
  usage.load(session, theme());
  schedule();
  byId("content").focus();
}

function leave(why) {
  session = status = null;
  clearTimeout(timer);
  setPaused(false);
  chart.clear();
  usage.clear();
  for (const id of ["room", "facts", "live", "pause", "sign-out"]) byId(id).hidden = true;
  byId("sign-in").hidden = false;
  setNotice(byId("problem"), why);
  document.title = "Spillway";
  byId("key").focus();
}

byId("sign-out").addEventListener("click", () => leave(""));

// Asking.

function schedule() {
  clearTimeout(timer);
  if (session && !paused && !document.hidden) timer = setTimeout(poll, every);
}

async function poll() {
  const mine = session;
  try {
    const since = whole || !status ? 0 : sinceOf(status);
    const fresh = await mine.status(since);
    if (mine === session) take(fresh, since);
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    if (mine === session) fail(error);
  } finally {
    if (mine === session) schedule();
  }
}

function fail(error) {
  if (error.kind === "key" || error.kind === "consumer") {
    leave(error.message);
    return;
  }
  setNotice(byId("trouble"), `${error.message} This is how things stood ${span((Date.now() - answered) / 1000)} ago, at ${clock(answered)}. Trying again every two seconds.`);
  byId("room").classList.add("stale");
  showLive("bad", "no answer");
}

function take(fresh, since) {
  answered = Date.now();
  // Another instance may have answered than before, of which this knows no history.
  whole = since > 0 && (fresh.instance !== status.instance || fresh.started !== status.started);
  if (whole) return;
  const known = joinStatus(status, fresh);
  announce(status, known);
  status = known;
  setNotice(byId("trouble"), "");
  byId("room").classList.remove("stale");
  showLive("good", "live");
  draw();
}

/** Tells those who do not see the colours change. */
function announce(before, now) {
  const was = new Map(before?.deployments.map((d) => [d.id, d.breaker]));
  const changed = now.deployments.filter((d) => was.has(d.id) && was.get(d.id) !== d.breaker);
  if (changed.length) setText(byId("announce"), changed.map((d) => `The breaker of ${d.id} is ${d.breaker}.`).join(" "));
}

function showLive(grade, text) {
  byId("live").className = `pill ${grade}`;
  setText(byId("live"), paused ? "paused" : text);
}

function setPaused(on) {
  paused = on;
  byId("pause").setAttribute("aria-pressed", String(on));
  setText(byId("pause"), on ? "Go on" : "Pause");
  if (on) showLive("", "paused");
}

byId("pause").addEventListener("click", () => {
  setPaused(!paused);
  clearTimeout(timer);
  if (!paused) poll();
});

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (session && !paused && !document.hidden) poll();
});

// Drawing.

function draw() {
  head();
  panels.tiles(status);
  const seconds = Number(byId("span").value);
  const pool = status.pools.find((p) => p.name === byId("pool").value) ?? status.pools[0];
  panels.fill(status, pool, seconds, chart, theme());
  panels.deployments(status);
  panels.shares(status);
  panels.latency(status);
  panels.breakers(status, seconds);
  panels.consumers(status);
}

function head() {
  const { store } = status;
  byId("store").className = `pill ${store.degraded ? "bad" : "good"}`;
  setText(byId("store"), store.kind === "memory" ? "no shared state" : store.degraded ? "table down" : "table up");
  setNotice(byId("degraded"), store.degraded ? store.message : "");
  const up = span((Date.parse(status.now) - Date.parse(status.started)) / 1000);
  const fleet = status.instances > 1 ? `, one of ${status.instances} instances` : "";
  setText(byId("instance"), `${status.instance}${fleet} · ${status.version} · up ${up}`);
  setText(byId("view"), status.view);
  keyed(byId("pool"), status.pools, (p) => p.name, (p) => el("option", { value: p.name }), (option, p) => setText(option, p.name === p.model ? p.name : `${p.name} (${p.model})`));
  const out = status.deployments.filter((d) => d.breaker !== "closed").length;
  document.title = out ? `(${out} out) Spillway` : "Spillway";
}

// The theme: the system's, or the one that is chosen, for as long as the page is open.

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => byId("theme").value || (dark.matches ? "dark" : "light");

function paint() {
  const chosen = byId("theme").value;
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  if (status) draw();
  usage.draw(theme());
}

byId("theme").addEventListener("change", paint);
dark.addEventListener("change", paint);
for (const id of ["pool", "span"]) byId(id).addEventListener("change", () => status && draw());
for (const id of ["usage-from", "usage-by", "usage-load"]) {
  byId(id).addEventListener(id === "usage-load" ? "click" : "change", () => session && usage.load(session, theme()));
}
byId("usage-csv").addEventListener("click", () => session && usage.download(session));
