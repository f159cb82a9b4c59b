// The two charts over time, drawn by uPlot. Colours come from the style sheet, so that
// there is one place for them and both themes have their own.
/* global uPlot */

import { minute } from "./format.js";

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

/** The colour that a custom property of the style sheet stands for now. */
function colour(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

const font = "12px system-ui, sans-serif";

function axis(extra) {
  return {
    stroke: colour("--quiet"), font, ticks: { show: false }, border: { show: false },
    grid: { stroke: colour("--line"), width: 1 }, ...extra,
  };
}

/** A chart in an element: draws data of a shape, and draws anew when told to. */
class Chart {
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.shape = "";
    new ResizeObserver(() => this.resize()).observe(place);
  }

  size() {
    return { width: Math.max(this.place.clientWidth, 100), height: this.place.clientHeight };
  }

  resize() {
    if (this.plot && this.place.clientWidth && this.place.clientWidth !== this.plot.width) this.plot.setSize(this.size());
  }

  /** Draws data; a new shape (another theme, span or width of bars) makes a new plot. */
  draw(data, shape, label) {
    this.place.setAttribute("aria-label", label);
    if (typeof uPlot === "undefined") { // it does not start in every browser; the table below says the same
      this.place.textContent = "This browser cannot draw the chart. The table has the same.";
      return;
    }
    if (this.plot && shape === this.shape) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.shape = shape;
    this.plot = new uPlot({ ...this.options(), ...this.size() }, data, this.place);
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.place.removeAttribute("aria-label");
  }
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const axisValues = (_, splits) => splits.map((n) => (n === null ? "" : short.format(n)));
const fromZero = { range: (_, low, high) => [0, Math.max(high * 1.08, 10)] };
const quietCursor = { show: false };

function bars(fill, name) {
  return { label: name, stroke: null, width: 0, fill: colour(fill), points: { show: false }, paths: uPlot.paths.bars({ size: [0.82, 60], align: 1 }) };
}

/** Draws a dashed line over the whole width; none of null. */
function line(plot, height) {
  if (height === null) return;
  const { ctx, bbox } = plot;
  const y = Math.round(plot.valToPos(height, "y", true));
  ctx.save();
  ctx.strokeStyle = colour("--text");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

/**
 * Tokens of the minute on the first priority, the spilled ones on top, the limit. The
 * data end with the present step. limit, seconds and step of the chart must be set
 * before it is drawn: the line, how much of the past is shown, and how wide a bar is.
 */
export function fillChart(place) {
  const chart = new Chart(place, () => ({
    cursor: quietCursor, legend: { show: false }, padding: [12, 22, 0, 0],
    scales: { x: { time: true, range: (_, low, high) => [high + chart.step - chart.seconds, high + chart.step] }, y: { range: (_, low, high) => [0, Math.max(high, chart.limit ?? 0, 10) * 1.08] } },
    axes: [
      axis({ grid: { show: false }, size: 28, space: 60, incrs: [60, 120, 300, 600, 900], values: (_, at) => at.map((s) => minute(s)) }),
      axis({ size: 52, values: axisValues }),
    ],
    series: [
      {},
      bars("--spill", "spilled"),
      bars("--paid", "first priority"),
    ],
    hooks: { draw: [(plot) => line(plot, chart.limit)] },
  }));
  return chart;
}

/** Prompt tokens by day, completion tokens on top. */
export function usageChart(place) {
  return new Chart(place, () => ({
    cursor: quietCursor, legend: { show: false }, padding: [12, 22, 0, 0],
    scales: { x: { time: false, range: (_, low, high) => [low - 0.6, high + 0.6] }, y: fromZero },
    axes: [
      axis({ grid: { show: false }, size: 28, space: 60, incrs: [1, 2, 7, 14, 28], values: (_, at) => at.map((day) => new Date(day * 86400000).toISOString().slice(5, 10)) }),
      axis({ size: 52, values: axisValues }),
    ],
    series: [
      {},
      { ...bars("--output", "completion"), paths: uPlot.paths.bars({ size: [0.7, 40] }) },
      { ...bars("--paid", "prompt"), paths: uPlot.paths.bars({ size: [0.7, 40] }) },
    ],
  }));
}
