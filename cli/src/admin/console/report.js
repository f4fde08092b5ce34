// The report of a certification run, from the file that "causeway certify run --json-file" has written. It is read in
// this browser alone and sent nowhere: the run is played elsewhere, and the node need not have its file.

import { duration, make, moment, section, table, tile, title, toned } from './dom.js';

// More than a run with every case and every ladder.
const MOST = 128 * 1024 * 1024;
// Kept while the page is: whoever looks something up comes back to it.
let report = null;
let shown = 'failed';

const TONES = { passed: 'good', failed: 'bad', 'could not be played': 'warn' };

function read(text) {
  const found = JSON.parse(text);
  if (!found || !Array.isArray(found.cases) || typeof found.conclusion !== 'string' || !found.all || !found.mandatory) {
    throw new Error('this is no report of causeway certify run --json-file');
  }
  return found;
}

function ladder(one) {
  const line = (step) => {
    const [left, right] = step.from === 'subject' ? ['SBC', step.peer] : [step.peer, 'SBC'];
    return make('details', {}, make('summary', {}, `${String(step.ms).padStart(6)} ms  ${left} → ${right}  ${step.title}`),
      make('pre', { tabindex: 0 }, step.message));
  };
  return one.ladder.length === 0 ? '' : make('details', {}, make('summary', {}, `Ladder (${one.ladder.length} messages)`), one.ladder.map(line));
}

function detail(one) {
  const list = (lines, tone) => (lines.length > 0 ? make('ul', { class: tone }, lines.map((line) => make('li', {}, line))) : '');
  return make('details', { class: 'case', 'data-case': one.id },
    make('summary', {}, make('strong', {}, one.id), ` ${one.title} `, toned(one.verdict, TONES[one.verdict] || 'soft'),
      one.mandatory ? '' : toned(' (not mandatory)', 'soft')),
    list(one.failures.length > 0 ? one.failures.map((why) => `${why.rule}: ${why.why}`) : one.reasons, TONES[one.verdict]),
    list(one.notes, 'soft'),
    one.requirements.length > 0 ? make('p', { class: 'soft' }, `Requirements: ${one.requirements.join(', ')}`) : '',
    one.differs ? make('p', { class: 'soft' }, `Differs: ${one.differs}`) : '',
    ladder(one));
}

function counted(name, counts) {
  return table(name, [
    ['passed', (own) => own.passed], ['failed', (own) => own.failed], ['could not be played', (own) => own.not_played],
    ['not applicable', (own) => own.not_applicable], ['not written', (own) => own.not_written],
  ], [counts]);
}

function body() {
  const groups = [...new Set(report.cases.map((one) => one.group))];
  const isShown = (one) => shown === 'all' || (shown === 'failed' ? ['failed', 'could not be played'].includes(one.verdict) : one.verdict === shown);
  const cases = make('div', { 'data-cases': true });
  const draw = () => cases.replaceChildren(...groups.map((group) => {
    const own = report.cases.filter((one) => one.group === group && isShown(one));
    return own.length > 0 ? section(`${group} (${own.length})`, ...own.map(detail)) : '';
  }));
  const choice = [['failed', 'failed or not played'], ['passed', 'passed'], ['not applicable', 'not applicable'], ['all', 'all']];
  const chosen = (event) => { shown = event.target.value; draw(); };
  draw();
  return [
    section('Conclusion', make('p', {}, toned(report.conclusion, report.good ? 'good' : 'bad'))),
    make('div', { class: 'tiles' },
      tile('subject', report.subject), tile('played by', report.version),
      tile('began', moment(new Date(report.began * 1000).toISOString())), tile('took', duration(report.seconds)),
      report.times > 1 ? tile('times', report.times) : '',
      report.network ? tile('over a network with', report.network.impairment) : ''),
    section('Mandatory cases', counted('Mandatory cases', report.mandatory)),
    section('All cases', counted('All cases', report.all)),
    report.unlike.length > 0 ? section('Did not go the same way each time',
      table('Unlike', [['case', (one) => one.id], ['went', (one) => one.went.join(', ')]], report.unlike)) : '',
    make('div', { class: 'fields' }, make('div', {}, make('label', { for: 'field-shown' }, 'Cases that are'),
      make('select', { id: 'field-shown', onchange: chosen },
        choice.map(([value, words]) => make('option', { value, selected: value === shown }, words))))),
    cases,
  ];
}

export async function certification() {
  const place = make('div', { 'aria-live': 'polite' });
  const draw = () => place.replaceChildren(...(report ? body() : []));
  const opened = async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
      if (file.size > MOST) throw new Error(`${file.name} is larger than 128 MiB`);
      report = read(await file.text());
      draw();
    } catch (fault) {
      const why = fault instanceof SyntaxError ? `${file.name} is no JSON: ${fault.message}` : fault.message;
      place.replaceChildren(make('p', { class: 'bad', role: 'alert' }, why));
    }
  };
  draw();
  return [title('Certification'),
    make('form', { class: 'card' },
      make('label', { for: 'field-report' }, 'Report that "causeway certify run --json-file FILE" has written; it stays in this browser'),
      make('input', { id: 'field-report', type: 'file', accept: '.json,application/json', onchange: opened })),
    place];
}
