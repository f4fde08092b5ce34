// Customers, each with its trunks and, where these lead to Teams, every proxy in both directions.

import { get } from './client.js';
import { duration, make, section, table, title, toned } from './dom.js';

export const WAYS = {
  to: 'we ask', from: 'Teams asks', name: 'our name', test: 'test name', roots: 'our roots', cert: 'our certificate',
};

export const tone = (verdict) => {
  if (verdict === 'active' || verdict.startsWith('a root of Microsoft') || verdict.startsWith('ready')) return 'good';
  return verdict.startsWith('not asked') || verdict.startsWith('as trunk') ? 'soft' : 'warn';
};

const stateTone = (state) => ({ up: 'good', 'no answer yet': 'soft', 'without targets': 'soft' }[state] || 'bad');

// Rows are the proxies, columns the ways in which OPTIONS go.
function matrix(name, rows) {
  const own = rows.filter((row) => row.trunk === name);
  const asked = own.filter((row) => row.direction === 'to' || row.direction === 'from');
  const proxies = [...new Set(asked.map((row) => row.proxy))];
  const cell = (proxy, way) => {
    const row = asked.find((one) => one.proxy === proxy && one.direction === way);
    if (!row) return null;
    const age = row.age_seconds === null ? '' : `, ${duration(row.age_seconds)} ago`;
    return make('span', {}, toned(row.verdict, tone(row.verdict)), row.result ? ` (${row.result}${age})` : '');
  };
  const besides = own.filter((row) => !asked.includes(row));
  return [
    table(`Teams at ${name}`, [
      ['proxy', (proxy) => proxy],
      ['we ask', (proxy) => cell(proxy, 'to')],
      ['Teams asks', (proxy) => cell(proxy, 'from')],
    ], proxies, 'no proxy is known yet'),
    besides.length > 0 ? make('ul', {}, besides.map((row) => make('li', {},
      `${WAYS[row.direction] || row.direction}: `, toned(row.verdict, tone(row.verdict))))) : '',
  ];
}

export async function tenants() {
  const [trunks, rows] = await Promise.all([get('/trunks'), get('/teams')]);
  const names = [...new Set(trunks.map((trunk) => trunk.tenant).filter(Boolean))].sort();
  const of = (tenant) => trunks.filter((trunk) => (trunk.tenant || null) === tenant);
  const listed = (name, own) => table(`Trunks of ${name}`, [
    ['trunk', (trunk) => trunk.trunk],
    ['leads to', (trunk) => (trunk.preset === 'teams' ? 'Microsoft Teams' : 'carrier or PBX')],
    ['name', (trunk) => trunk.fqdn],
    ['state', (trunk) => toned(trunk.state, stateTone(trunk.state))],
    ['calls', (trunk) => `${trunk.calls_in + trunk.calls_out}${trunk.most_calls === null ? '' : ` of ${trunk.most_calls}`}`],
  ], own, 'it has no trunk of its own');
  const shared = of(null);
  return [
    title(`Tenants (${names.length})`),
    ...names.map((name) => section(name, listed(name, of(name)),
      ...of(name).filter((trunk) => trunk.preset === 'teams').map((trunk) => matrix(trunk.trunk, rows)).flat())),
    names.length === 0 ? make('p', { class: 'soft' }, 'The configuration has no tenant.') : '',
    shared.length > 0 ? section('Trunks of all', listed('all', shared),
      ...shared.filter((trunk) => trunk.preset === 'teams').map((trunk) => matrix(trunk.trunk, rows)).flat()) : '',
  ];
}
