import { claims, cover, fairness } from './api.js';
import { h, toast, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';

function fair(data) {
	const query = new URLSearchParams({
		seed: data.seed || '', packet: data.packet_id, total: String(data.total.amount), count: String(data.count), split: data.split,
		nonce: data.client_nonce, commitment: data.commitment, hash: localStorage.getItem(`hb-seed-${data.packet_id}`) || '',
	});
	return h('section.card', {},
		h('p.soft', {}, t('commitment')), h('p.mono', { 'data-commitment': '' }, data.commitment),
		data.revealed ? h('a.second', { href: `/verify.html#${query}` }, t('verify_here')) : h('p.soft', {}, t('not_revealed')));
}

const row = (c) => h('li.row', {},
	h('span', {}, `${t('user')} ${c.uid} `, c.luckiest ? h('span.badge', {}, t('luckiest')) : null, h('small', {}, when(c.claimed_at, lang))),
	h('span.money', {}, yuan(c.amount)));

// Who got what, a page at a time, and the sum once all of it is here.
function luck(id, packet, first) {
	const taken = h('p.soft');
	const list = h('ul.list', { 'data-claims': '' });
	const more = h('button.second', { type: 'button' }, t('more'));
	let cursor = null;
	let sum = 0;
	const add = (page) => {
		cursor = page.next_cursor;
		sum += page.data.reduce((fen, c) => fen + c.amount.amount, 0);
		list.append(...page.data.map(row));
		more.hidden = !cursor;
		taken.textContent = cursor ? t('taken_count', packet.claimed_count, packet.count)
			: t('taken', list.childElementCount, packet.count, yuan({ amount: sum }));
	};
	more.addEventListener('click', async () => {
		more.disabled = true;
		await claims(id, cursor).then(add, (problem) => toast(problem.message));
		more.disabled = false;
	});
	add(first);
	return [taken, h('section.card', {}, list, list.childElementCount ? null : h('p.soft', {}, t('nothing')), more)];
}

export async function detailsView({ args: [id] }) {
	const [data, first, fairly] = await Promise.all([cover(id), claims(id), fairness(id)]);
	return [
		h('h1', {}, t('from', data.sender.uid)),
		...luck(id, data.packet, first),
		h('h2', {}, t('fairness')), fair(fairly),
		h('a.second', { href: `#/packet/${id}` }, t('back')),
	];
}
