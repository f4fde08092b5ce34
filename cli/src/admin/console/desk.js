// What an operator looks up and tries: trunks, certificates, configuration, routes, records.

import { Refused, because, get, paged, post, quoted, tagged, text } from './client.js';
import { duration, field, make, moment, section, table, title, toned } from './dom.js';
import { WAYS, tone } from './tenants.js';

// Runs what a form asks for, into the place below it.
function asking(place, ask) {
  return async (event) => {
    event.preventDefault();
    const button = event.target.querySelector('button');
    button.disabled = true;
    place.setAttribute('aria-busy', 'true');
    try {
      place.replaceChildren(...await ask(new FormData(event.target)));
    } catch (fault) {
      const reasons = fault instanceof Refused ? fault.reasons : [];
      place.replaceChildren(make('p', { class: 'bad', role: 'alert' }, fault.message), ...reasons.map((why) => make('p', {}, why)));
    } finally {
      button.disabled = false;
      place.removeAttribute('aria-busy');
    }
  };
}

const result = () => make('div', { 'aria-live': 'polite', 'data-result': true });

export async function teams() {
  const [status, rows] = await Promise.all([get('/status'), get('/teams')]);
  return [
    title('Trunks and Teams'),
    section('Microsoft Teams', table('Teams', [
      ['trunk', (row) => row.trunk],
      ['way', (row) => ({ ...WAYS, chain: row.way === 'to' ? 'it shows us' : 'it shows, calling' }[row.direction] || row.direction)],
      ['proxy', (row) => row.proxy],
      ['result', (row) => row.result],
      ['age', (row) => duration(row.age_seconds)],
      ['preferred for', (row) => duration(row.demoted_in_seconds)],
      ['verdict', (row) => toned(row.verdict, tone(row.verdict))],
    ], rows, 'there is no Teams trunk')),
    section(`Trunks (${status.trunks.length}), tenants (${status.tenants})`, table('Trunks', [
      ['trunk', (name) => name],
      ['peers', (name) => {
        const own = status.peers.filter((peer) => peer.trunk === name);
        return own.map((peer) => `${peer.peer}: ${peer.state}`).join(', ');
      }],
    ], status.trunks)),
  ];
}

export async function certificates(me) {
  const rows = await get('/certs');
  const renew = (name) => async (event) => {
    event.target.disabled = true;
    try { await post(`/certs/${quoted(name)}/renew`); event.target.textContent = 'ordered'; } catch (fault) { event.target.textContent = fault.message; }
  };
  const tone = (days) => (days === null ? 'warn' : days < 3 ? 'bad' : days < 21 ? 'warn' : 'good');
  return [title('Certificates'), section('Ours', table('Certificates', [
    ['name', (row) => row.context],
    ['for', (row) => row.names.join(', ')],
    ['from', (row) => row.issued_by],
    ['state', (row) => toned(row.state, row.state === 'in use' ? 'good' : 'bad')],
    ['until', (row) => moment(row.until)],
    ['days left', (row) => toned(row.days_left ?? '–', tone(row.days_left))],
    ['last failure', (row) => row.because],
    ['', (row) => (row.issued_by === 'acme' && me.rights.includes('configure')
      ? make('button', { type: 'button', onclick: renew(row.context) }, 'Renew now') : ' ')],
  ], rows, 'there is no [[tls]]'))];
}

function findings(judged) {
  const line = (one) => make('li', { class: one.severity },
    make('strong', {}, `${one.code} `), one.place ? `${one.place.file}:${one.place.line}:${one.place.column} ` : '', one.cause,
    one.help ? make('div', { class: 'soft' }, one.help) : '');
  const words = judged.valid ? toned('It can be taken into use.', 'good') : toned('It is refused.', 'bad');
  const refusal = judged.refusal ? make('pre', { class: 'bad' }, judged.refusal) : '';
  return [make('p', {}, words, ` ${judged.findings.length} findings.`), refusal, make('ul', { class: 'findings' }, judged.findings.map(line))];
}

function differences(lines) {
  if (lines.trim() === '') return make('p', { class: 'soft' }, 'The files are those that are in use.');
  const kind = (line) => (/^(---|\+\+\+|@@)/.test(line) ? 'soft' : { '+': 'added', '-': 'taken' }[line[0]] || '');
  return make('pre', { id: 'diff', tabindex: 0, 'aria-label': 'What differs' },
    lines.replace(/\n$/, '').split('\n').map((line) => make('span', { class: kind(line) }, `${line}\n`)));
}

// As the command does: where it would end calls, or take what was taken back, a person says yes or no first.
async function reload(within, headers) {
  const wish = { spare_calls: true, ...(within ? { confirm_within: Math.round(within * 60) } : { force: false }) };
  const meant = { 428: ['spare_calls', false], 409: ['force', true] };
  for (;;) {
    try { return await post(`/reload?${new URLSearchParams(wish)}`, undefined, headers); } catch (fault) {
      const [key, value] = meant[fault.status] || [];
      if (wish[key] !== !value || !confirm(`${fault.message}. Take them into use all the same?`)) throw fault;
      wish[key] = value;
    }
  }
}

// Findings and differences first; only what was looked at can then be taken into use.
async function compared(place) {
  const judged = await post('/config/validate');
  const lines = await text('/config/diff').catch((fault) => `${fault.message}`);
  const parts = [...findings(judged), make('h3', {}, 'What differs'), differences(lines)];
  if (!judged.valid) return parts;
  const [, tag] = await tagged('/config');
  const taken = asking(place, async (form) => {
    const done = await reload(form.get('within'), { 'If-Match': tag, ...because(form.get('reason')) });
    const confirmed = make('div', {});
    const confirm = async (event) => {
      event.target.disabled = true;
      try {
        await post('/config/confirm');
        confirmed.replaceChildren(toned('It stays.', 'good'));
      } catch (fault) { confirmed.replaceChildren(toned(fault.message, 'bad')); }
    };
    return [make('p', { class: 'good' }, `Generation ${done.config_generation} is in use.`),
      ...done.kept.map((kept) => make('p', { class: 'bad' }, `${kept.context}: ${kept.because}`)),
      done.confirm_within ? make('p', {}, `Unless it is confirmed within ${duration(done.confirm_within)}, the one before is used again. `,
        make('button', { type: 'button', id: 'confirm', class: 'main', onclick: confirm }, 'Confirm')) : '', confirmed];
  });
  return [...parts, make('form', { onsubmit: taken },
    make('div', { class: 'fields' },
      field('What for (the audit log tells it)', 'reason', { maxlength: 200 }),
      field('Take it back after so many minutes', 'within', { type: 'number', min: 1, max: 1440, placeholder: 'never' }),
      make('button', { id: 'reload', class: 'main' }, 'Take them into use')))];
}

// What waits for a second pair of eyes, with a word for whoever may say it.
async function approvals(me) {
  const rows = (await get('/approvals')).filter((row) => ['waits', 'agreed'].includes(row.state));
  const decide = (row, word) => make('button', {
    type: 'button',
    onclick: async (event) => {
      event.target.disabled = true;
      try { await post(`/approvals/${quoted(row.id)}/${word}`); event.target.textContent = 'done'; } catch (fault) { event.target.textContent = fault.message; }
    },
  }, word === 'agree' ? 'Agree' : 'Refuse');
  const may = me.rights.includes('calls');
  return rows.length === 0 ? [] : [section('Waits for another person', table('Approvals', [
    ['what', (row) => row.what],
    ['asked by', (row) => row.asked_by],
    ['because', (row) => row.because],
    ['until', (row) => moment(row.until)],
    ['state', (row) => (row.state === 'agreed' ? `agreed by ${row.by}: ask for it again` : 'waits')],
    ['', (row) => (may && row.state === 'waits' ? make('span', {}, decide(row, 'agree'), ' ', decide(row, 'refuse')) : ' ')],
  ], rows))];
}

export async function configuration(me) {
  const mayChange = me.rights.includes('configure');
  const [disk, inForce, judged, reloaded] = [result(), result(), result(), result()];
  try {
    const shown = await get('/config');
    inForce.replaceChildren(
      make('p', {}, `Generation ${shown.generation}. `,
        shown.is_in_use ? toned('What is on disk is in use.', 'good') : toned('What is on disk is not in use yet.', 'warn')),
      ...shown.objects.map((one) => make('details', {},
        make('summary', {}, `${one.kind}${one.name ? ` ${one.name}` : ''}`),
        table(`${one.kind} ${one.name || ''}`, [['key', (own) => own.key], ['value', (own) => own.value], ['because', (own) => own.because]], one.settings))));
  } catch (fault) {
    if (!(fault instanceof Refused) || fault.status !== 422) throw fault;
    inForce.replaceChildren(make('p', { class: 'bad' }, fault.message), ...fault.reasons.map((why) => make('pre', {}, why)));
  }
  const parts = [title('Configuration'), ...await approvals(me)];
  if (mayChange) {
    parts.push(
      section('On disk', make('form', { onsubmit: asking(disk, async () => { reloaded.replaceChildren(); return compared(reloaded); }) },
        make('button', { id: 'validate' }, 'Compare with what is in use')), disk, reloaded),
      section('A candidate', make('form', {
        onsubmit: asking(judged, async (form) => findings(await post('/config/candidate', { text: form.get('text') }))),
      },
      make('label', { for: 'candidate' }, 'Text of a whole configuration; it is judged on the node and kept nowhere'),
      make('textarea', { id: 'candidate', name: 'text', spellcheck: 'false', required: true }),
      make('button', { class: 'main', id: 'judge' }, 'Check this text')), judged),
    );
  }
  parts.push(section('What holds, and why', inForce));
  return parts;
}

export async function route() {
  const status = await get('/status');
  const place = result();
  const ask = asking(place, async (form) => {
    const trunk = form.get('trunk') || null;
    const time = form.get('time') ? new Date(form.get('time')).toISOString() : null;
    const told = await post('/route/test', { trunk, from: form.get('from'), to: form.get('to'), time });
    return [
      section(told.refused ? 'It is refused' : 'It goes on',
        told.refusal ? make('p', { class: 'bad' }, `${told.refusal.status} ${told.refusal.cause}: ${(told.refusal.because || []).join('; ')}`) : '',
        make('ol', {}, told.rules.map((rule) => make('li', {}, rule)))),
      ...told.tries.map((one, at) => section(`Attempt ${at + 1}: ${one.trunk}`,
        make('p', {}, `${one.host}, ${one.remote}, ${one.protocol}`),
        make('ol', {}, one.rules.map((rule) => make('li', {}, rule))),
        make('pre', { tabindex: 0 }, one.invite))),
    ];
  });
  const trunks = [make('option', { value: '' }, 'as its source tells'), ...status.trunks.map((name) => make('option', {}, name))];
  return [title('Route simulator'),
    make('form', { class: 'card', onsubmit: ask },
      make('div', { class: 'fields' },
        make('div', {}, make('label', { for: 'field-trunk' }, 'From trunk'), make('select', { id: 'field-trunk', name: 'trunk' }, trunks)),
        field('Calling number', 'from', { required: true, inputmode: 'tel' }),
        field('Called number', 'to', { required: true, inputmode: 'tel' }),
        field('When, if not now', 'time', { type: 'datetime-local' }),
        make('button', { class: 'main' }, 'Play the call'))),
    place];
}

export async function records(me) {
  if (!me.rights.includes('numbers')) {
    return [title('Records'), make('p', { class: 'soft' }, 'Your role does not see who called whom.')];
  }
  const place = result();
  // One more page below those that are shown.
  const further = async (query, before) => {
    const [found, next] = await paged(`/records?${query}`);
    const rows = [...before, ...found.records];
    const behind = new URLSearchParams(query);
    if (next) behind.set('cursor', next);
    return [section(`Found (${rows.length})`, table('Records', [
      ['call', (one) => make('a', { href: `#/call/${one.call}` }, String(one.call).slice(-8))],
      ['start', (one) => moment(one.start)],
      ['from', (one) => one.calling],
      ['to', (one) => one.called],
      ['in', (one) => one.ingress?.trunk],
      ['out', (one) => (one.egress || []).map((leg) => leg.trunk).join(', ')],
      ['outcome', (one) => one.disposition],
      ['length', (one) => duration((one.duration_ms || 0) / 1000)],
    ], rows, 'no record is of such a call'),
    next ? make('form', { onsubmit: asking(place, () => further(behind, rows)) },
      make('button', {}, found.has_more ? 'Show older ones' : 'Look for older ones')) : '')];
  };
  const ask = asking(place, (form) => further(new URLSearchParams([...form].filter(([, value]) => value !== '')), []));
  return [title('Records'),
    make('form', { class: 'card', onsubmit: ask },
      make('div', { class: 'fields' },
        field('Digits of a number', 'number', { inputmode: 'tel' }),
        field('Trunk', 'trunk'),
        field('Call-ID', 'call_id'),
        field('Session-ID', 'session_id'),
        field('Since (UTC)', 'since', { placeholder: '2026-08-01' }),
        field('Until (UTC)', 'until', { placeholder: '2026-08-01T10:30:00Z' }),
        field('At most', 'limit', { type: 'number', min: 1, max: 1000, value: 100 }),
        make('button', { class: 'main' }, 'Search'))),
    place];
}
