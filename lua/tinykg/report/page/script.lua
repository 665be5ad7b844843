--- The page's script: lines that are hidden by their legend, values under the pointer, tables that
--- are sorted by a column. Without it the page shows the same. It has neither < nor &, so that the
--- page is well-formed.
return [==[
'use strict';
const all = (query, inside) => Array.from((inside || document).querySelectorAll(query));

// A click in a legend hides a line or shows it again, a double click shows it alone, or all.
const samples = all('li[data-g]');
const hide = (id, off) => all(`[data-g='${id}']`).forEach(e => e.classList.toggle('off', off));
for (const item of samples) {
  const id = item.dataset.g;
  const others = samples.filter(e => e.parentNode === item.parentNode);
  const toggle = () => hide(id, !item.classList.contains('off'));
  item.tabIndex = 0;
  item.setAttribute('role', 'button');
  item.title = 'click: hide or show; double click: alone';
  item.addEventListener('click', toggle);
  item.addEventListener('keydown', e => { if (e.key === 'Enter') toggle(); });
  item.addEventListener('dblclick', () => {
    const alone = others.every(e => e === item || e.classList.contains('off'));
    others.forEach(e => hide(e.dataset.g, alone ? false : e !== item));
  });
}

// Values of all lines at the epoch under the pointer.
const tip = document.body.appendChild(document.createElement('div'));
tip.className = 'tip';
tip.hidden = true;
const add = (inside, name, text, kind) => {
  const e = inside.appendChild(document.createElement(name));
  e.textContent = text;
  if (kind) e.className = kind;
  return e;
};
const nearest = (list, x) => list.reduce((best, value, i) =>
  Math.abs(list[best] - x) > Math.abs(value - x) ? i : best, 0);
const place = event => {
  const right = event.clientX + 14, width = tip.offsetWidth;
  const left = right + width > innerWidth ? event.clientX - width - 14 : right;
  tip.style.left = Math.max(4, left) + 'px';
  const top = event.clientY + 14, height = tip.offsetHeight;
  const above = event.clientY - height - 14;
  tip.style.top = Math.max(4, top + height > innerHeight ? above : top) + 'px';
};
for (const svg of all('svg[data-axis]')) {
  const [left, right, low, high] = svg.dataset.axis.split(' ').map(Number);
  const wide = svg.viewBox.baseVal.width, rule = svg.querySelector('.rule');
  const lines = all('path[data-x]', svg).map(path => {
    let x = 0;
    return {path: path, values: path.dataset.v.split(';'),
      x: path.dataset.x.split(',').map(step => x += Number(step))};
  });
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect();
    const px = (event.clientX - box.left) / box.width * wide;
    const x = low + (px - left) / (right - left) * (high - low);
    const shown = lines.filter(line => !line.path.closest('.off'));
    if (shown.length === 0) return;
    const at = shown.map(line => line.x[nearest(line.x, x)]);
    const epoch = at[nearest(at, x)];
    tip.textContent = '';
    add(tip, 'b', 'epoch ' + epoch);
    shown.map((line, i) => [line, line.values[line.x.indexOf(at[i])], at[i]])
      .sort((a, b) => parseFloat(b[1]) - parseFloat(a[1]))
      .forEach(([line, value, own]) => {
        const row = add(tip, 'div', '', line.path.parentNode.getAttribute('class'));
        add(row, 'i', '\u25a0 ');
        add(row, 'span', line.path.dataset.name + '  ' + value +
          (own === epoch ? '' : ' (epoch ' + own + ')'));
      });
    tip.hidden = false;
    place(event);
    const cx = left + (epoch - low) / (high - low) * (right - left);
    rule.setAttribute('x1', cx);
    rule.setAttribute('x2', cx);
    rule.setAttribute('visibility', 'visible');
  });
  svg.addEventListener('pointerleave', () => {
    tip.hidden = true;
    rule.setAttribute('visibility', 'hidden');
  });
}

// A click on the head of a column sorts by it, a second one the other way round.
const UNITS = {B: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824, TiB: 1099511627776};
const number = text => {
  const found = text.trim().match(/^(-?[\d.]+(?:e[+-]?\d+)?)\s*([KMGT]?i?B)?/);
  return found ? Number(found[1]) * (UNITS[found[2]] || 1) : NaN;
};
const order = (a, b) => {
  const x = number(a), y = number(b);
  if (isNaN(x) || isNaN(y)) {
    return isNaN(x) === isNaN(y) ? a.localeCompare(b) : isNaN(x) ? 1 : -1;
  }
  return x - y;
};
for (const head of all('table.sorts thead th')) {
  head.tabIndex = 0;
  const sort = () => {
    const down = head.getAttribute('aria-sort') !== 'descending';
    const body = head.closest('table').tBodies[0], column = head.cellIndex;
    all('th', head.parentNode).forEach(e => e.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    Array.from(body.rows)
      .sort((a, b) => order(a.cells[column].textContent, b.cells[column].textContent) *
        (down ? -1 : 1))
      .forEach(row => body.appendChild(row));
  };
  head.addEventListener('click', sort);
  head.addEventListener('keydown', e => { if (e.key === 'Enter') sort(); });
}
]==]
