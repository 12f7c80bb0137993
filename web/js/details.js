import { claims, cover, fairness } from './api.js';
import { h, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';

function fair(data) {
	const query = new URLSearchParams({
		seed: data.seed || '', packet: data.packet_id, total: String(data.total.amount), count: String(data.count), split: data.split,
		nonce: data.client_nonce, commitment: data.commitment,
	});
	return h('section.card', {},
		h('p.soft', {}, t('commitment')), h('p.mono', { 'data-commitment': '' }, data.commitment),
		data.revealed ? h('a.second', { href: `/verify.html#${query}` }, t('verify_here')) : h('p.soft', {}, t('not_revealed')));
}

export async function detailsView({ args: [id] }) {
	const [data, first, fairly] = await Promise.all([cover(id), claims(id), fairness(id)]);
	let page = first;
	const all = [...page.data];
	while (page.next_cursor && all.length < 500) {
		page = await claims(id, page.next_cursor);
		all.push(...page.data);
	}
	const sum = all.reduce((fen, c) => fen + c.amount.amount, 0);
	return [
		h('h1', {}, t('from', data.sender.uid)),
		h('p.soft', {}, t('taken', data.packet.claimed_count, data.packet.count, yuan({ amount: sum }))),
		h('section.card', {}, h('ul.list', { 'data-claims': '' }, all.map((c) => h('li.row', {},
			h('span', {}, `${t('user')} ${c.uid} `, c.luckiest ? h('span.badge', {}, t('luckiest')) : null, h('small', {}, when(c.claimed_at, lang))),
			h('span.money', {}, yuan(c.amount)))), all.length ? null : h('li.soft', {}, t('nothing')))),
		h('h2', {}, t('fairness')), fair(fairly),
		h('a.second', { href: `#/packet/${id}` }, t('back')),
	];
}
