// The figures as a chart: a panel a column, a bar a path, its length the median, with a whisker from min to max.
//
// It has no ground of its own, and its grey and colours stand out from white and from black alike.
const PANEL = { width: 430, left: 165, bar: 180, row: 22, head: 40, foot: 18 };
const PANELS_A_ROW = 2;
const MARGIN = 16;
const TITLE_HEIGHT = 40;
const INK = '#7d8590';
const COLOURS = {
  plain: '#8b949e',
  vxlan: '#bf8700',
  native: '#2f81f7',
  'native-off': '#79b8ff',
  dgram: '#2da44e',
  'dgram-off': '#7fc98f',
};

export function asSvg({ rounds, machine, columns, paths: all }) {
  const paths = all.filter(({ figures }) => Object.keys(figures).length > 0);
  const panels = columns.filter(({ id }) => paths.some(({ figures }) => figures[id] !== undefined));
  const height = PANEL.head + PANEL.foot + PANEL.row * paths.length;
  const rows = Math.ceil(panels.length / PANELS_A_ROW);
  const width = 2 * MARGIN + PANEL.width * Math.min(PANELS_A_ROW, Math.max(1, panels.length));
  const drawn = panels.map((column, index) => {
    const x = MARGIN + (index % PANELS_A_ROW) * PANEL.width;
    const y = TITLE_HEIGHT + Math.floor(index / PANELS_A_ROW) * height;
    return `<g transform="translate(${x} ${y})">\n${panel(column, paths).join('\n')}\n</g>`;
  });
  const title = `median and min…max of ${rounds} rounds; ${machine.processors} processors, Linux ${machine.kernel}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${TITLE_HEIGHT + rows * height}" width="${width}"` +
      ` font-family="system-ui, sans-serif" font-size="12" fill="${INK}">`,
    `<title>Corduroy data path: ${escaped(title)}</title>`,
    text(MARGIN, 24, `Data path: ${title}`),
    ...drawn,
    '</svg>',
    '',
  ].join('\n');
}

function panel({ id, name, unit, better }, paths) {
  const shown = paths.filter(({ figures }) => figures[id] !== undefined);
  const longest = Math.max(...shown.map(({ figures }) => figures[id].max));
  const scale = longest > 0 ? PANEL.bar / longest : 0;
  const lines = [text(0, 22, `${name}, ${unit} (${better} is better)`, 'font-weight="bold" font-size="14"')];
  shown.forEach((path, index) => {
    const { median, min, max } = path.figures[id];
    const top = PANEL.head + index * PANEL.row;
    const middle = top + PANEL.row / 2;
    const end = PANEL.left + median * scale;
    const [low, high] = [min, max].map((value) => round(PANEL.left + value * scale));
    lines.push(
      text(PANEL.left - 8, middle + 4, path.name, 'text-anchor="end"'),
      `<rect x="${PANEL.left}" y="${top + 3}" width="${round(Math.max(1, end - PANEL.left))}" height="${PANEL.row - 6}" fill="${COLOURS[path.id]}"/>`,
      ...whisker(low, high, middle),
      text(high + 8, middle + 4, label(median)),
    );
  });
  return lines;
}

/** Dark with a light rim, to be seen on the bar and on any ground. */
function whisker(low, high, y) {
  const line = `<path d="M${low} ${y}H${high}M${low} ${y - 4}V${y + 4}M${high} ${y - 4}V${y + 4}" fill="none"`;
  return [`${line} stroke="#ffffff" stroke-width="3.5"/>`, `${line} stroke="#24292f" stroke-width="1.5"/>`];
}

function label(value) {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

function round(value) {
  return Math.round(value * 10) / 10;
}

function text(x, y, content, attributes = '') {
  return `<text x="${round(x)}" y="${y}"${attributes && ` ${attributes}`}>${escaped(content)}</text>`;
}

function escaped(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
