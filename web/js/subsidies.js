import { h, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';
import { mySubsidies } from './wins.js';

const DAY_MS = 24 * 3600 * 1000;
const href = { usable: (s) => `#/subsidies/${s.subsidy_id}`, spent: (s) => (s.packet_id ? `#/packet/${s.packet_id}` : null) };

function row(s) {
	const to = href[s.state]?.(s);
	const soon = s.state === 'usable' && Date.parse(s.expires_at) - Date.now() < DAY_MS;
	return h('li', {}, h(to ? 'a.row' : 'div.row', { href: to, 'data-state': s.state, 'data-source': s.source },
		h('span', {}, h('span.money', {}, yuan(s.amount)),
			h(soon ? 'small.soon' : 'small', {}, t('expires', when(s.expires_at, lang)), s.source === 'record' ? null : ` · ${t('being_recorded')}`)),
		h(s.state === 'usable' ? 'span.pill' : 'span.soft', {}, t(s.state === 'usable' ? 'send_this' : `substate_${s.state}`))));
}

// Usable ones first, those that expire soonest at the top.
const order = (a, b) => (a.state === 'usable' ? 0 : 1) - (b.state === 'usable' ? 0 : 1)
	|| (a.state === 'usable' ? Date.parse(a.expires_at) - Date.parse(b.expires_at) : Date.parse(b.expires_at) - Date.parse(a.expires_at));

export async function subsidiesView() {
	const { data, degraded, more } = await mySubsidies();
	const usable = data.filter((s) => s.state === 'usable');
	return [
		h('h1', {}, t('subsidies')),
		degraded.length ? h('p.note', { role: 'status', 'data-degraded': degraded.join(' ') }, t('degraded')) : null,
		h('section.card', {},
			h('p.soft.center', {}, t('usable_sum', usable.length)),
			h('p.big', { 'data-usable': String(usable.length) }, yuan({ amount: usable.reduce((sum, s) => sum + s.amount.amount, 0) }))),
		h('section.card.listed', {}, h('ul.list', { 'data-subsidies': '' }, data.sort(order).map(row)),
			data.length ? null : h('p.soft', {}, t('no_subsidies')), more ? h('p.soft', {}, t('newest_only')) : null),
		h('div.two', {}, h('a.second', { href: '#/rain' }, t('rain')), h('a.second', { href: '#/' }, t('to_home'))),
	].filter(Boolean);
}
