// Asks the node. The token is in the session of this tab alone, and goes nowhere but to where this page comes from.

const PLACE = 'causeway-token';

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

async function send(method, path, body) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(PLACE) || ''}` };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch(`/api/v1${path}`, {
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
export const post = async (path, body) => (await send('POST', path, body)).json();
export const quoted = encodeURIComponent;
