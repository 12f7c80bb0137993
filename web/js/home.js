import { demo, list } from './api.js';
import { h, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';
import { pages, part } from './part.js';

const row = (href, title, note, money) => h('a.row', { href }, h('span', {}, title, h('small', {}, note)), h('span.money', {}, money));
const kind = (p) => (p.kind === 'b2c' ? ` · ${t('from_subsidy')}` : '');
const rows = {
	sent: (p) => row(`#/packet/${p.id}`, p.greeting || t('greeting_hint'), `${when(p.created_at, lang)} · ${t(`state_${p.state}`)}${kind(p)}`, yuan(p.total)),
	received: (c) => row(`#/packet/${c.packet_id}`, t('from', c.sender.uid), when(c.claimed_at, lang) + kind(c), yuan(c.amount)),
};

const section = (which) => part(async () => [h('h2', {}, t(which)), await pages({ 'data-list': which }, list(which), rows[which])]);

const tile = (href, icon, text, note) => h('a.tile', { href }, h(`span.icon.${icon}`, { 'aria-hidden': 'true' }), h('b', {}, text), h('small', {}, note));

export async function homeView() {
	const no = h('input', { name: 'packet', inputmode: 'numeric', pattern: '[0-9]{6,19}', required: true, autocomplete: 'off' });
	const [place, received, sent] = await Promise.all([demo().catch(() => ({})), section('received'), section('sent')]);
	return [
		h('h1.unseen', {}, t('home')),
		h('nav.tiles', { 'aria-label': t('home') },
			tile('#/send', 'i-envelope', t('send_one'), t('send_note')),
			tile('#/rain', 'i-rain', t('rain'), t('rain_note')),
			tile('#/subsidies', 'i-coupon', t('subsidies'), t('subsidies_note')),
			tile('#/wallet', 'i-wallet', t('wallet'), t('wallet_note'))),
		h('h2', {}, t('open_one')),
		h('form.card.inline', { onsubmit: (e) => { e.preventDefault(); location.hash = `#/packet/${no.value.trim()}`; } },
			h('label', {}, t('packet_no'), no), h('button.second', { type: 'submit' }, t('go'))),
		received, sent,
		place.finance_url
			? h('p', {}, h('a', { href: `${place.finance_url}/account/${localStorage.getItem('hb-uid')}`, target: '_blank', rel: 'noopener' }, t('finance')))
			: null,
	].filter(Boolean);
}
