// Asks the node. The token is in the session of this tab alone, and goes nowhere but to where this page comes from.

const PLACE = 'causeway-token';
const PENDING = 'causeway-sign-in';

// When somebody has touched the page last (milliseconds). What it asks for on its own keeps no session up.
let touched = Date.now();
export const touch = () => { touched = Date.now(); };
export const untouched = () => Date.now() - touched;

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the node answered ${status}`);
    this.status = status;
    this.reasons = problem.reasons || [];
  }
}

export const hasToken = () => sessionStorage.getItem(PLACE) !== null;
export const keepToken = (token) => sessionStorage.setItem(PLACE, token);
export const dropToken = () => sessionStorage.removeItem(PLACE);

async function send(method, path, body, root = '/api/v1', more = {}) {
  const headers = { 'Causeway-Idle': String(Math.floor(untouched() / 1000)), ...more };
  if (hasToken()) headers.Authorization = `Bearer ${sessionStorage.getItem(PLACE)}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch(`${root}${path}`, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
    credentials: 'omit', cache: 'no-store', redirect: 'error',
  });
  if (answer.ok) return answer;
  let problem = {};
  try { problem = await answer.json(); } catch { /* It has no words. */ }
  throw new Refused(answer.status, problem);
}

export const get = async (path) => (await send('GET', path)).json();
export const text = async (path) => (await send('GET', path)).text();
export const post = async (path, body, headers) => (await send('POST', path, body, undefined, headers)).json();
// What a change is for, for the audit log; headers take no other characters.
export const because = (words) => (words ? { 'Causeway-Reason': encodeURIComponent(words) } : {});
// With what names this state of it, so that nobody changes what they have not seen.
export async function tagged(path) {
  const answer = await send('GET', path);
  return [await answer.json(), answer.headers.get('ETag')];
}

// With what is behind it, if there is more.
export async function paged(path) {
  const answer = await send('GET', path);
  return [await answer.json(), answer.headers.get('Causeway-Next')];
}

// Signing in by an issuer: this tab alone can end what it has begun.
const door = async (method, path, body) => (await send(method, path, body, '/sign-in')).json();
export const issuer = async () => (await door('GET', '/with')).name;
export async function goToIssuer() {
  const { location: there, state, tab } = await door('POST', '/begin');
  sessionStorage.setItem(PENDING, JSON.stringify({ state, tab }));
  location.assign(there);
}
export async function comeBack(query) {
  const kept = JSON.parse(sessionStorage.getItem(PENDING) || '{}');
  sessionStorage.removeItem(PENDING);
  // Also what is refused: nobody else's words are shown as the issuer's.
  if (!kept.state || query.get('state') !== kept.state) {
    throw new Refused(400, { detail: 'this sign-in was not begun in this tab: begin again' });
  }
  const told = query.get('error');
  if (told) throw new Refused(400, { detail: query.get('error_description') || told });
  const { token } = await door('POST', '/finish', { code: query.get('code') || '', ...kept });
  keepToken(token);
}
export async function leave() {
  try { return (await door('POST', '/end')).location; } catch { return null; } finally { dropToken(); }
}
export const quoted = encodeURIComponent;
