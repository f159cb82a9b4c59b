// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** 1234567 → 1,234,567 */
export const count = (n) => whole.format(n);

/** 1234567 → 1.23M */
export const brief = (n) => (Math.abs(n) < 10000 ? whole.format(n) : short.format(n));

/** 0.1234 → 12 %, below a tenth with one digit more */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const value = share * 100;
  return `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} %`;
}

/** Milliseconds → 85 ms, 1.24 s */
export function duration(ms) {
  if (!ms) return "–";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 99950) return `${(ms / 1000).toFixed(ms < 9995 ? 2 : 1)} s`;
  return `${(ms / 60000).toFixed(1)} min`;
}

/** A span of seconds → 8 s, 3 min, 2 h 5 min, 4 d 2 h */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const pad = (n) => String(n).padStart(2, "0");

/** A moment (Date or ISO text) → 14:03:22, in this browser's time zone */
export function clock(moment) {
  const d = new Date(moment);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** Seconds since 1970 → 14:03 */
export const minute = (seconds) => clock(seconds * 1000).slice(0, 5);
