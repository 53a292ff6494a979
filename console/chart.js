/** Charts, as SVG that is drawn by hand. Each chart has a table with the same numbers. */

import { useId, useLayoutEffect, useRef, useState } from './hooks.js';
import { t } from './text.js';
import { Table, html } from './ui.js';

/**
 * A chart, or its table: the user chooses.
 *
 * @param {{title: string, legend?: string[], hint?: string | false, table: {columns: any[], rows: any[], keyOf: (row: any) => string | number},
 *   children?: any}} properties `hint` says which rows the chart and the table leave out.
 */
export function Chart({ title, legend, hint, table, children }) {
  const [asTable, setAsTable] = useState(false);
  const id = useId();
  return html`<section class="panel chart" aria-labelledby=${id}>
    <div class="chart-head"><h2 id=${id}>${title}</h2>
      <button type="button" aria-pressed=${String(asTable)} onClick=${() => setAsTable(!asTable)}>${t(asTable ? 'chart.picture' : 'chart.table')}</button></div>
    ${hint && html`<p class="hint">${hint}</p>`}
    ${asTable
      ? html`<${Table} caption=${title} columns=${table.columns} rows=${table.rows} keyOf=${table.keyOf} />`
      : html`${legend && html`<ul class="legend">${legend.map((name, at) => html`<li>
          <svg viewBox="0 0 10 10" aria-hidden="true"><rect class=${`bar-${at + 1}`} width="10" height="10" /></svg>${name}</li>`)}</ul>`}${children}`}
  </section>`;
}

/** The height of a column chart, the room for its marks, and the width of a digit of a mark: pixels. */
const COLUMNS = { height: 140, foot: 22, side: 44, head: 10, digit: 8 };

/**
 * Columns over time, such as one for each day. The drawing is as wide as its container, so that its text is not scaled.
 *
 * @param {{label: string, columns: {key: string, value: number, name: string}[], mark: (key: string) => string, number: (value: number) => string}} properties
 *   `name` is what a column says; `mark` writes the first, middle and last key below the axis.
 */
export function Columns({ label, columns, mark, number }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const top = ceiling(Math.max(1, ...columns.map((one) => one.value)));
  const { height, foot, head, digit } = COLUMNS;
  const side = Math.max(COLUMNS.side, 8 + digit * number(top).length);
  const step = (width - side) / Math.max(1, columns.length);
  const y = (/** @type {number} */ value) => head + height - (value / top) * height;
  const marks = [0, ...(width > 400 ? [Math.floor((columns.length - 1) / 2)] : []), columns.length - 1];
  const anchor = (/** @type {number} */ at) => (at === 0 ? 'start' : at === columns.length - 1 ? 'end' : 'middle');
  return html`<div ref=${box}><svg width=${width} height=${head + height + foot} role="img" aria-label=${label}>
    ${[0, top / 2, top].map((value) => html`<line class="axis" x1=${side} x2=${width} y1=${y(value)} y2=${y(value)} />
      <text x=${side - 6} y=${y(value) + 4} text-anchor="end">${number(value)}</text>`)}
    ${columns.map((one, at) => one.value > 0 && html`<rect key=${one.key} class="bar-1" x=${side + at * step} width=${Math.max(1, step - 1)}
      y=${y(one.value)} height=${head + height - y(one.value)}><title>${one.name}</title></rect>`)}
    ${columns.length > 0 && marks.map((at) => html`<text x=${at === 0 ? side : side + (at + 1) * step} y=${head + height + 16}
      text-anchor=${anchor(at)}>${mark(columns[at].key)}</text>`)}
  </svg></div>`;
}

/** Returns a round number that is at least as large, and whose half is a whole number too. @param {number} value */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 6, 8, 10].map((one) => one * power).find((one) => one >= value && one % 2 === 0) ?? value;
}

/**
 * One bar for each row, with a segment for each value.
 *
 * @param {{rows: {key: string, name: any, values: number[], label: string, total: string}[]}} properties
 */
export function Bars({ rows }) {
  const most = Math.max(1, ...rows.map((row) => row.values.reduce((sum, value) => sum + value, 0)));
  return html`<ul class="bars">${rows.map((row) => {
    let from = 0;
    return html`<li key=${row.key}><span>${row.name}</span>
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" height="18" role="img" aria-label=${row.label}>
        <title>${row.label}</title>
        ${row.values.map((value, at) => {
          const x = from;
          from += (value / most) * 100;
          return value > 0 && html`<rect class=${`bar-${at + 1}`} x=${x} width=${(value / most) * 100} height="6" />`;
        })}
      </svg><span class="number">${row.total}</span></li>`;
  })}</ul>`;
}
