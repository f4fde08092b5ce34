// Makes elements. What comes from the node is text, and never markup.

export function make(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...inside.flat().filter((part) => part !== null && part !== undefined));
  return element;
}

export const title = (words) => make('h1', {}, words);

export function section(name, ...inside) {
  return make('section', { 'aria-label': name }, make('h2', {}, name), ...inside);
}

// `columns` are [name, what a row has there].
export function table(name, columns, rows, nothing = 'nothing') {
  if (rows.length === 0) return make('p', { class: 'soft' }, nothing);
  const head = columns.map(([word]) => make('th', { scope: 'col' }, word));
  const body = rows.map((row) => make('tr', {}, columns.map(([word, of]) => {
    const value = of(row);
    const shown = value === null || value === undefined || value === '' ? '–' : value;
    return make('td', { 'data-name': word }, make('span', {}, shown instanceof Node ? shown : String(shown)));
  })));
  return make('table', { 'aria-label': name }, make('thead', {}, make('tr', {}, head)), make('tbody', {}, body));
}

export function tile(words, value, tone) {
  return make('div', { class: 'tile' }, make('b', { class: tone }, String(value)), make('span', {}, words));
}

export function field(words, name, attributes = {}) {
  const id = `field-${name}`;
  return make('div', {}, make('label', { for: id }, words), make('input', { id, name, ...attributes }));
}

// Terms with what they mean, behind a word that opens them: also by key, and on a phone.
export function meanings(words, terms) {
  return make('details', { class: 'meanings' }, make('summary', {}, words),
    make('dl', {}, terms.map(([term, meaning]) => [make('dt', {}, term), make('dd', {}, meaning)]).flat()));
}

export const toned = (words, tone) => make('span', { class: tone }, String(words));

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return null;
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const two = (n) => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export const moment = (time) => (time ? `${time.slice(0, 10)} ${time.slice(11, 19)}Z` : null);
