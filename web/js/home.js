import { demo, list } from './api.js';
import { h, toast, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';

const rows = {
	sent: (p) => h('a.row', { href: `#/packet/${p.id}` },
		h('span', {}, p.greeting || '红包', h('small', {}, `${when(p.created_at, lang)} · ${t(`state_${p.state}`)}`)),
		h('span.money', {}, yuan(p.total))),
	received: (c) => h('a.row', { href: `#/packet/${c.packet_id}` },
		h('span', {}, t('from', c.sender.uid), h('small', {}, when(c.claimed_at, lang))),
		h('span.money', {}, yuan(c.amount))),
};

async function section(which) {
	const body = h('div');
	const more = h('button.second', { type: 'button', hidden: true }, t('more'));
	let cursor = null;
	const load = async () => {
		const page = await list(which, cursor);
		cursor = page.next_cursor;
		body.append(...page.data.map(rows[which]));
		if (!body.childElementCount)
			body.append(h('p.soft', {}, t('nothing')));
		more.hidden = !cursor;
	};
	more.addEventListener('click', async () => {
		more.disabled = true;
		await load().catch((problem) => toast(problem.message));
		more.disabled = false;
	});
	await load();
	return [h('h2', {}, t(which)), h('section.card', { 'data-list': which }, body, more)];
}

export async function homeView() {
	const no = h('input', { name: 'packet', inputmode: 'numeric', pattern: '[0-9]{6,19}', required: true, autocomplete: 'off' });
	const [place, received, sent] = await Promise.all([demo(), section('received'), section('sent')]);
	return [
		h('a.primary', { href: '#/send' }, t('send_one')),
		h('h2', {}, t('open_one')),
		h('form.card', { onsubmit: (e) => { e.preventDefault(); location.hash = `#/packet/${no.value.trim()}`; } },
			h('label', {}, t('packet_no'), no), h('button.second', { type: 'submit' }, t('go'))),
		...received, ...sent,
		h('p', {}, h('a', { href: `${place.finance_url}/account/${localStorage.getItem('hb-uid')}`, target: '_blank', rel: 'noopener' }, t('finance'))),
	];
}
