// What is drawn, computed from what /spillway/status answers. Pure functions.

/** Joins a status with the one before it, whose history reaches farther back. */
export function joinStatus(before, fresh) {
  const old = before && before.instance === fresh.instance && before.started === fresh.started ? before.history : null;
  const offset = old ? (fresh.history.start - old.start) / fresh.history.stepSeconds : 0;
  if (!old || offset < 0 || offset > stepsOf(old)) return fresh;
  const most = 360;
  const drop = Math.max(0, offset + stepsOf(fresh.history) - most);
  const join = (name) => Object.fromEntries(Object.entries(fresh.history[name]).map(([id, series]) =>
    [id, Object.fromEntries(Object.entries(series).map(([what, values]) =>
      [what, (old[name][id]?.[what] ?? []).slice(0, offset).concat(values).slice(drop)]))]));
  const since = fresh.history.start * 1000;
  return {
    ...fresh,
    history: { ...fresh.history, start: old.start + drop * fresh.history.stepSeconds, deployments: join("deployments"), pools: join("pools") },
    events: before.events.filter((event) => Date.parse(event.at) < since).concat(fresh.events).slice(-400),
  };
}

/** How many steps a history has. */
export function stepsOf(history) {
  const [first] = Object.values(history.deployments);
  return first ? first.requests.length : 0;
}

/** Where to go on from: the last step may not have been over. */
export const sinceOf = (status) => (stepsOf(status.history) ? status.history.start + (stepsOf(status.history) - 1) * status.history.stepSeconds : 0);

/** The sum of one thing over the last seconds that are complete. */
export function lately(history, group, what, seconds) {
  const n = seconds / history.stepSeconds;
  let total = 0;
  for (const series of Object.values(history[group])) total += series[what].slice(-n - 1, -1).reduce((a, b) => a + b, 0);
  return total;
}

/** The members of a pool that are not spillover, as deployments. */
export function firstOf(status, pool) {
  const least = Math.min(...pool.members.map((member) => member.priority));
  const names = pool.members.filter((member) => member.priority === least).map((member) => member.deployment);
  return status.deployments.filter((d) => names.includes(d.id));
}

/** The deployments that are spillover wherever they serve. */
export function spillOf(status) {
  const first = new Set(status.pools.flatMap((pool) => firstOf(status, pool).map((d) => d.id)));
  return new Set(status.deployments.map((d) => d.id).filter((id) => !first.has(id)));
}

/**
 * A pool's minutes, step by step: the tokens of each minute so far that its first
 * priority took, and those that spilled. Limits count by the minute, so both begin
 * anew with each. Where a minute is one step, they are the whole minute's.
 */
export function fillOf(status, pool, seconds) {
  const { history } = status;
  const first = firstOf(status, pool);
  const limit = first.every((d) => d.tokens) ? first.reduce((sum, d) => sum + d.tokens.limit, 0) : null;
  const perMinute = 60 / history.stepSeconds;
  const steps = [];
  let taken = 0;
  let spilled = 0;
  for (let i = 0; i < stepsOf(history); i++) {
    const time = history.start + i * history.stepSeconds;
    if (time % 60 === 0) taken = spilled = 0;
    spilled += history.pools[pool.name].spilled[i];
    taken = limit === null
      ? taken + first.reduce((sum, d) => sum + history.deployments[d.id].tokens[i] - history.deployments[d.id].spilled[i], 0)
      : Math.max(taken, first.reduce((sum, d) => sum + (history.deployments[d.id].fill[i] ?? 0) * d.tokens.limit, 0));
    steps.push({ time, taken, spilled });
  }
  const minutes = seconds > 900;
  const shown = minutes
    ? steps.filter((s, i) => i === steps.length - 1 || (s.time + history.stepSeconds) % 60 === 0).map((s) => ({ ...s, time: s.time - (s.time % 60) }))
    : steps;
  const n = minutes ? seconds / 60 : (seconds / 60) * perMinute;
  return { limit, steps: shown.slice(-n), stepSeconds: minutes ? 60 : history.stepSeconds };
}

/**
 * When a deployment was not in service within [from, to], in milliseconds: parts
 * {kind, from, to} with kind open, trial or throttled.
 */
export function outages(status, deployment, from, to) {
  const parts = [];
  let state = null; // since when, and what
  let throttle = null;
  const kinds = { opened: "open", half_open: "trial" };
  const end = (part, at) => part && at > from && parts.push({ ...part, from: Math.max(part.from, from), to: Math.min(at, to) });
  for (const event of status.events.filter((e) => e.deployment === deployment.id)) {
    const at = Date.parse(event.at);
    if (event.kind in kinds || event.kind === "closed") {
      end(state, at);
      state = event.kind === "closed" ? null : { kind: kinds[event.kind], from: at };
    } else if (event.kind === "throttled") {
      end(throttle, Math.min(at, throttle?.until ?? at));
      throttle = { kind: "throttled", from: at, until: Date.parse(event.until ?? event.at) };
    } else if (event.kind === "lifted") {
      end(throttle, at);
      throttle = null;
    }
  }
  const known = { open: "open", "half-open": "trial", half_open: "trial" }[deployment.breaker];
  if (known && !state) state = { kind: known, from };
  if (!known) state = null;
  end(state, to);
  end(throttle, Math.min(throttle?.until ?? to, to));
  return parts.filter((part) => part.to > part.from).sort((a, b) => a.from - b.from);
}
