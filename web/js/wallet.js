// The wallet: what envelopes from subsidies brought, and its way out. A withdrawal's key is kept until its answer is known, over
// reloads too: the repeat of a lost answer is the same withdrawal, never a second.
import { demo, pause, wallet, withdraw, withdrawal } from './api.js';
import { fen, h, random, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';
import { pages, part } from './part.js';

const drawer = () => `hb-withdraw-${localStorage.getItem('hb-uid')}`;
const begun = () => JSON.parse(localStorage.getItem(drawer()) || 'null');

// The order; the key is let go once the answer is certain, whichever it is.
async function order(amount) {
	const mine = begun()?.amount === amount ? begun() : { amount, key: random(16) };
	localStorage.setItem(drawer(), JSON.stringify(mine));
	try {
		const made = await withdraw(mine.amount, mine.key);
		localStorage.removeItem(drawer());
		return made;
	} catch (problem) {
		if (!problem.retryable && problem.code !== 'SESSION_INVALID')
			localStorage.removeItem(drawer());
		throw problem;
	}
}

const ordered = ['withdraw', 'withdraw_back'];

function entry(e) {
	const href = ordered.includes(e.kind) ? `#/withdrawals/${e.source_no}` : null;
	return h(href ? 'a.row' : 'div.row', { href, 'data-kind': e.kind },
		h('span', {}, t(`entry_${e.kind}`), h('small', {}, when(e.at, lang))),
		h(e.amount.amount > 0 ? 'span.money.done' : 'span.money', {}, yuan(e.amount, true)));
}

function withdrawForm({ balance, min_withdrawal: least, max_withdrawal: most }) {
	const open = begun();
	const amount = h('input', { name: 'amount', inputmode: 'decimal', required: true, autocomplete: 'off',
		value: yuan({ amount: open ? open.amount : balance.amount }).slice(1) });
	const wrong = h('span.field-error', { role: 'alert' });
	const button = h('button.primary', { type: 'submit', disabled: !open && balance.amount === 0 }, t(open ? 'withdraw_again' : 'withdraw'));
	const refuse = (text) => {
		wrong.textContent = text;
		amount.setAttribute('aria-invalid', 'true');
		amount.focus();
	};
	return h('form.card', { novalidate: true, onsubmit: async (e) => {
		e.preventDefault();
		if (button.disabled)
			return;
		const wanted = fen(amount.value);
		if (!(wanted > 0)) {
			refuse(t('bad_total'));
			return;
		}
		button.disabled = true;
		try {
			const made = await order(wanted);
			location.hash = `#/withdrawals/${made.order_no}`;
		} catch (problem) {
			button.disabled = false;
			if (problem.retryable)
				button.textContent = t('withdraw_again');
			refuse(problem.message);
		}
	} },
	open ? h('p.note', { role: 'status' }, t('withdraw_open', yuan({ amount: open.amount }))) : null,
	h('label', {}, t('withdraw_amount'), amount, h('small.soft', {}, t('withdraw_limits', yuan(least), yuan(most))), wrong), button);
}

export async function walletView() {
	const first = await wallet(null);
	const load = (cursor) => (cursor ? wallet(cursor) : Promise.resolve(first)).then((page) => ({ data: page.entries, next_cursor: page.next_cursor }));
	return [
		h('h1', {}, t('wallet')),
		h('section.card', {}, h('p.soft.center', {}, t('balance')), h('p.big', { 'data-balance': String(first.balance.amount) }, yuan(first.balance))),
		withdrawForm(first),
		h('h2', {}, t('entries')), await part(() => pages({ 'data-entries': '' }, load, entry)),
		h('a.second', { href: '#/' }, t('to_home')),
	];
}

function status(data, place) {
	return [
		h('h1', {}, t('withdrawal')),
		h('section.card.center', { 'data-withdrawal': data.state },
			h('p.big', {}, yuan(data.amount)),
			h('p', { role: 'status' }, h(data.state === 'done' ? 'span.ok' : data.state === 'refused' ? 'span.bad' : 'span', {}, t(`withdrawal_${data.state}`))),
			h('p.soft', {}, t('order_no', data.order_no))),
		data.state === 'done' && place.finance_url
			? h('a.primary', { href: `${place.finance_url}/account/${localStorage.getItem('hb-uid')}`, target: '_blank', rel: 'noopener' }, t('finance')) : null,
		h('a.second', { href: '#/wallet' }, t('wallet')),
	].filter(Boolean);
}

export async function withdrawalView(ctx) {
	const [no] = ctx.args;
	let data = await withdrawal(no);
	const place = await demo().catch(() => ({}));
	if (data.state === 'pending')
		follow(ctx, no, data, place);
	return ctx.alive() ? status(data, place) : null;
}

// Until it is final, ever more slowly; whoever waits longer than that comes back to the page.
async function follow(ctx, no, data, place) {
	for (let wait = 500; data.state === 'pending' && ctx.alive(); wait = Math.min(wait * 1.5, 15000)) {
		await pause((data.poll_after_ms || wait) * (1 + Math.random() * 0.2));
		if (!ctx.alive())
			return;
		data = await withdrawal(no).catch(() => data);
		if (data.state !== 'pending' && ctx.alive())
			ctx.show(...status(data, place));
	}
}
