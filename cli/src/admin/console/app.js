// The frame: who is signed in, which page is shown, and when it is asked for again.

import {
  Refused, comeBack, dropToken, get, goToIssuer, hasToken, issuer, keepToken, leave, touch, untouched,
} from './client.js';
import { field, make, title } from './dom.js';
import { call, calls, overview } from './live.js';
import { certificates, configuration, records, route, teams } from './desk.js';
import { certification } from './report.js';
import { tenants } from './tenants.js';

const PAGES = [
  ['overview', 'Overview', overview, 3000],
  ['calls', 'Calls', calls, 2000],
  ['teams', 'Trunks and Teams', teams, 10000],
  ['tenants', 'Tenants', tenants, 10000],
  ['certificates', 'Certificates', certificates, 0],
  ['configuration', 'Configuration', configuration, 0],
  ['route', 'Route simulator', route, 0],
  ['records', 'Records', records, 0],
  ['certification', 'Certification', certification, 0],
];

// Whoever has left the desk without a word is signed out (milliseconds).
const IDLE = 30 * 60 * 1000;

const at = (id) => document.getElementById(id);
const main = at('main');
let me = null;
let turn = 0;
let timer;

function tell(fault) {
  const words = fault instanceof Refused ? fault.message : `the node cannot be reached: ${fault.message}`;
  at('trouble').textContent = words;
  at('trouble').hidden = false;
}

async function signIn(why, elsewhere) {
  clearTimeout(timer);
  turn += 1;
  me = null;
  at('pages').hidden = true;
  at('me').hidden = true;
  const own = turn;
  const asked = async () => {
    try { await goToIssuer(); } catch (fault) { tell(fault); }
  };
  const entered = async (event) => {
    event.preventDefault();
    keepToken(new FormData(event.target).get('token').trim());
    await start();
  };
  const buttons = make('div', {});
  main.replaceChildren(
    title('Sign in'),
    buttons,
    make('form', { class: 'card', onsubmit: entered },
      field('Token', 'token', { type: 'password', required: true, autocomplete: 'off', spellcheck: 'false' }),
      make('p', { class: 'soft' }, 'causeway token NAME --role ROLE makes one. It stays in this tab, until it is closed.'),
      make('button', { class: 'main' }, 'Sign in')),
  );
  at('trouble').hidden = !why;
  at('trouble').textContent = why || '';
  at('field-token').focus();
  if (elsewhere) buttons.append(make('p', {}, make('a', { href: elsewhere, rel: 'noreferrer' }, 'Sign out there, too')));
  try {
    const name = await issuer();
    if (name && own === turn) {
      const button = make('button', { class: 'main', type: 'button', onclick: asked }, `Sign in with ${name}`);
      buttons.prepend(make('p', { class: 'card' }, button));
      button.focus();
    }
  } catch { /* A token still does. */ }
}

// From an issuer, with its answer in the address, which nobody else is to see.
async function fromIssuer() {
  const query = new URLSearchParams(location.search);
  history.replaceState(null, '', '/');
  try { await comeBack(query); } catch (fault) { await signIn(fault.message); return; }
  await start();
}

// What no browser has made stays as it is.
function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

async function show(isAgain) {
  clearTimeout(timer);
  const own = ++turn;
  const [name, ...rest] = location.hash.slice(2).split('/').map(decoded);
  const isCall = name === 'call';
  const page = PAGES.find(([id]) => id === (isCall ? 'calls' : name)) || PAGES[0];
  for (const link of at('pages').children) {
    const isHere = link.dataset.page === page[0];
    if (isHere) {
      link.setAttribute('aria-current', 'page');
      if (!isAgain) link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else link.removeAttribute('aria-current');
  }
  const again = isCall ? 3000 : page[3];
  try {
    const inside = isCall ? await call(rest[0], me) : await page[2](me);
    if (own !== turn) return;
    // Nobody's place on the page is lost by what only changes figures.
    const kept = isAgain && main.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const open = isAgain ? [...main.querySelectorAll('details.meanings')].map((one) => one.open) : [];
    main.replaceChildren(...inside);
    main.querySelectorAll('details.meanings').forEach((one, at) => { one.open = open[at] || false; });
    if (kept) main.querySelector(`[data-key="${CSS.escape(kept)}"]`)?.focus();
    at('trouble').hidden = true;
    document.title = `${main.querySelector('h1')?.textContent || 'Causeway'} – Causeway`;
    if (!isAgain) { scrollTo(0, 0); main.focus({ preventScroll: true }); }
  } catch (fault) {
    if (own !== turn) return;
    if (fault instanceof Refused && fault.status === 401) { dropToken(); signIn(fault.message); return; }
    if (!isAgain) main.replaceChildren(title(page[1]));
    tell(fault);
  }
  if (again > 0) timer = setTimeout(() => show(true), document.hidden ? again * 5 : again);
}

async function start() {
  if (!hasToken()) { signIn(); return; }
  try {
    me = await get('/me');
  } catch (fault) {
    if (fault instanceof Refused && fault.status === 401) { dropToken(); signIn(fault.message); return; }
    tell(fault);
    timer = setTimeout(start, 3000);
    return;
  }
  const open = PAGES.filter(([id]) => !['configuration', 'route'].includes(id) || me.rights.includes('numbers'));
  at('pages').replaceChildren(...open.map(([id, words]) => make('a', { href: `#/${id}`, 'data-page': id }, words)));
  at('pages').hidden = false;
  at('me').hidden = false;
  at('who').textContent = me.called ? `${me.called} (${me.role})` : me.name;
  at('who').title = me.name;
  await show(false);
}

for (const sign of ['pointerdown', 'keydown', 'wheel']) addEventListener(sign, touch, { passive: true });
setInterval(() => { if (me && untouched() > IDLE) leave().then(() => signIn('nobody was there for half an hour')); }, 10000);
addEventListener('hashchange', () => { if (me && location.hash.startsWith('#/')) show(false); });
addEventListener('causeway-again', () => show(false));
at('leave').addEventListener('click', async () => signIn('', await leave()));
if (location.pathname === '/sign-in') fromIssuer(); else start();
