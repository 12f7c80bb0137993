import { claims, cover, fairness } from './api.js';
import { h, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';
import { pages, part } from './part.js';

function fair(data) {
	const query = new URLSearchParams({
		seed: data.seed || '', packet: data.packet_id, total: String(data.total.amount), count: String(data.count), split: data.split,
		nonce: data.client_nonce, commitment: data.commitment, hash: localStorage.getItem(`hb-seed-${data.packet_id}`) || '',
	});
	return h('section.card', {},
		h('p.soft', {}, t('commitment')), h('p.mono', { 'data-commitment': '' }, data.commitment),
		data.revealed ? h('a.second', { href: `/verify.html#${query}` }, t('verify_here')) : h('p.soft', {}, t('not_revealed')));
}

const row = (c) => h('div.row', {},
	h('span', {}, `${t('user')} ${c.uid} `, c.luckiest ? h('span.badge', {}, t('luckiest')) : null, h('small', {}, when(c.claimed_at, lang))),
	h('span.money', {}, yuan(c.amount)));

// Who got what, a page at a time, and the sum once all of it is here.
async function luck(id, packet) {
	const taken = h('p.soft', { role: 'status' });
	return [taken, await pages({ 'data-claims': '' }, claims(id), row, (all, complete) => {
		taken.textContent = complete
			? t('taken', all.length, packet.count, yuan({ amount: all.reduce((sum, c) => sum + c.amount.amount, 0) }))
			: t('taken_count', packet.claimed_count, packet.count);
	})];
}

export async function detailsView({ args: [id] }) {
	const data = await cover(id);
	const [shares, fairly] = await Promise.all([luck(id, data.packet), part(async () => fair(await fairness(id)))]);
	return [
		h('h1', {}, t('from', data.sender.uid)), ...shares,
		h('h2', {}, t('fairness')), fairly,
		h('a.second', { href: `#/packet/${id}` }, t('back')),
	];
}
