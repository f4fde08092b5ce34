// What goes on now: the node, its calls, one call.

import { because, get, post, quoted, text } from './client.js';
import { duration, make, meanings, moment, section, table, tile, title, toned } from './dom.js';
import { TERMS } from './terms.js';

// Calls that are asked about their media at once.
const CLOSE = 10;

const link = (id) => make('a', { href: `#/call/${id}`, 'data-key': id }, id.slice(-8));

const wrong = (alarms) => section(`Alarms (${alarms.length})`, alarms.length > 0
  ? make('ul', { class: 'findings' }, alarms.map((why) => make('li', { class: 'error' }, why)))
  : make('p', { class: 'good' }, 'Nothing is wrong.'));

export async function overview() {
  const [status, figures, { alarms }] = await Promise.all([get('/status'), get('/figures'), get('/alarms')]);
  const tone = { up: 'good', 'not probed': 'soft' };
  return [
    title(`Node ${status.node}`),
    make('div', { class: 'tiles' },
      tile('state', status.state, status.state === 'active' ? 'good' : 'warn'),
      tile('new calls', status.ready ? 'ready' : 'not ready', status.ready ? 'good' : 'bad'),
      tile('calls', status.calls),
      tile('connections', status.connections),
      tile('overload', status.overload),
      tile('configuration', status.config_generation),
      tile('up for', duration(status.uptime_seconds)),
      tile('version', status.version)),
    wrong(alarms),
    section('Peers', table('Peers', [
      ['trunk', (peer) => peer.trunk],
      ['peer', (peer) => peer.peer],
      ['state', (peer) => toned(peer.state, tone[peer.state] || 'bad')],
      ['addresses', (peer) => peer.addresses.map((one) => one.address).join(', ')],
    ], status.peers, 'no trunk has targets')),
    section('Figures of the last hour', table('Figures', [
      ['trunk', (row) => row.trunk],
      ['direction', (row) => row.direction],
      ['calls', (row) => row.hour.calls],
      ['NER %', (row) => row.hour.ner_percent?.toFixed(1)],
      ['ASR %', (row) => row.hour.asr_percent?.toFixed(1)],
      ['ACD s', (row) => row.hour.acd_seconds?.toFixed(1)],
      ['PDD s', (row) => row.hour.pdd_seconds?.toFixed(2)],
    ], figures, 'no calls yet'),
    meanings('What these figures mean', TERMS)),
    section('Listeners', table('Listeners', [
      ['name', (one) => one.name], ['protocol', (one) => one.protocol], ['address', (one) => one.address],
    ], status.listeners)),
    status.registrations.length > 0 ? section('Registrations', table('Registrations', [
      ['trunk', (one) => one.trunk], ['account', (one) => one.address_of_record],
      ['state', (one) => toned(one.state, one.state === 'registered' ? 'good' : 'warn')],
      ['until', (one) => moment(one.until)], ['because', (one) => one.because],
    ], status.registrations)) : '',
  ];
}

function verdict(told) {
  const live = told?.live;
  if (!live) return toned('not known', 'soft');
  const now = live.one_way.filter((one) => one.lasted_ms === null);
  if (now.length > 0) return toned(`one-way: ${now.map((one) => `leg ${one.leg}, ${one.direction}: ${one.kind.replaceAll('_', ' ')}`).join('; ')}`, 'bad');
  const heard = live.media.filter((leg) => leg.packets_in > 0).length;
  return heard > 1 ? toned('both ways', 'good') : toned('no audio yet', 'warn');
}

export async function calls(me) {
  const now = await get('/calls');
  const seen = await Promise.all(now.slice(0, CLOSE).map((one) => get(`/calls/${one.call}`).catch(() => null)));
  const of = new Map(seen.filter(Boolean).map((one) => [one.call, one]));
  const recent = me.rights.includes('numbers') ? await get('/calls/recent') : null;
  return [
    title('Calls'),
    section(`In progress (${now.length})`, table('Calls in progress', [
      ['call', (one) => link(one.call)],
      ['state', (one) => one.state],
      ['from', (one) => `${one.calling} (${one.from_trunk})`],
      ['to', (one) => `${one.called} (${one.to_trunk || '…'})`],
      ['for', (one) => duration(one.seconds)],
      ['audio', (one) => verdict(of.get(one.call))],
    ], now, 'no calls in progress')),
    section('Ended', recent === null
      ? make('p', { class: 'soft' }, 'Your role does not see who called whom.')
      : table('Calls that have ended', [
        ['call', (one) => link(one.call)],
        ['start', (one) => moment(one.start)],
        ['from', (one) => one.calling],
        ['to', (one) => one.called],
        ['outcome', (one) => toned(one.disposition, one.disposition === 'answered' ? 'good' : 'warn')],
        ['length', (one) => duration((one.duration_ms || 0) / 1000)],
      ], recent, 'none within the last 15 minutes')),
  ];
}

function explained(told) {
  const lines = [['called', [told.name]], ['who', [told.who]], ['where', [told.place]], ['why', [told.why]], ['what to change', told.change],
    ['tried', told.attempts], ['transfers', told.transfers], ['media', told.media || []], ['heard', told.quality || []]];
  return make('dl', {}, lines.filter(([, all]) => all && all.length > 0).map(([word, all]) => [
    make('dt', {}, word), ...all.map((line) => make('dd', {}, line))]).flat());
}

export async function call(id, me) {
  const told = await get(`/calls/${quoted(id)}`);
  const may = (right) => me.rights.includes(right);
  const ladder = may('numbers') ? await text(`/calls/${quoted(id)}/trace`) : null;
  const hangUp = async () => {
    const why = prompt('End this call? What for, if somebody is to know:', '');
    if (why === null) return;
    try { await post(`/calls/${quoted(id)}/hangup`, undefined, because(why)); } finally { dispatchEvent(new Event('causeway-again')); }
  };
  return [
    make('p', {}, make('a', { href: '#/calls', 'data-key': 'back' }, '← all calls')),
    title(`Call ${told.call}`),
    told.summary ? section('In progress',
      make('p', {}, `${told.summary.state}: ${told.summary.calling} → ${told.summary.called}`),
      make('p', {}, 'Audio: ', verdict(told)),
      make('ul', {}, told.heard.map((line) => make('li', {}, line))),
      may('calls') ? make('button', { class: 'danger', type: 'button', 'data-key': 'end', onclick: hangUp }, 'End this call') : '') : '',
    told.explanation ? section('What happened', explained(told.explanation)) : '',
    section('Ladder', ladder === null
      ? make('p', { class: 'soft' }, 'Your role does not see who called whom.') : make('pre', { tabindex: 0, 'data-key': 'ladder' }, ladder)),
  ];
}
