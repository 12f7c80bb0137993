import { claim, cover, pause } from './api.js';
import { h, toast, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';

const sealed = { exhausted: 'exhausted', expired: 'expired', refunding: 'refunding', closed: 'closed' };

function face(data, ...children) {
	return h('section.cover', { 'data-state': data.packet.state },
		h('p.from', {}, t('from', data.sender.uid)),
		h('p.greeting', {}, data.packet.greeting || t('greeting_hint')),
		...children);
}

function footer(data) {
	const mine = data.sender.uid === localStorage.getItem('hb-uid');
	return [
		h('p.soft', {}, t('expires', when(data.packet.expires_at, lang))),
		data.my_claim || mine ? h('a.second', { href: `#/packet/${data.packet.id}/details` }, t('details')) : null,
		h('button.second', { type: 'button', onclick: async () => {
			try {
				await navigator.clipboard.writeText(location.href);
				toast(t('copied'));
			} catch {
				toast(location.href);
			}
		} }, t('share')),
	].filter(Boolean);
}

const transfer = (my) => h('p.transfer', { 'data-transfer': my.transfer_state, role: 'status' }, t(my.transfer_state === 'pending' ? 'arriving' : 'arrived'));

function won(data, my) {
	return [face(data, h('p', {}, t('you_got')),
		h('p.money-won', { 'data-amount': String(my.amount.amount), tabindex: '-1' }, yuan(my.amount)),
		transfer(my),
		h('p', {}, h('a', { href: `#/packet/${data.packet.id}/details` }, t('details')))), ...footer(data)];
}

// Shows the amount at once, and looks again a few times until the transfer has arrived.
async function follow(ctx, data, my) {
	if (!ctx.alive())
		return;
	ctx.main.replaceChildren(...won(data, my));
	ctx.main.querySelector('[data-amount]').focus({ preventScroll: true });
	for (let wait = 400; my.transfer_state === 'pending' && wait < 20000 && ctx.alive(); wait *= 1.7) {
		await pause(wait);
		const next = await cover(data.packet.id).catch(() => null);
		if (next?.my_claim && next.my_claim.transfer_state !== my.transfer_state && ctx.alive()) {
			my = next.my_claim;
			ctx.main.querySelector('[data-transfer]').replaceWith(transfer(my));
		}
	}
}

async function waitForPayment(ctx, data) {
	if (!ctx.alive())
		return null;
	const pay = localStorage.getItem(`hb-cashier-${data.packet.id}`);
	ctx.main.replaceChildren(face(data, h('p.money-won', {}, yuan(data.packet.total)), h('p', {}, t('unpaid')),
		h('p', {}, t('waiting_pay'))), ...(pay ? [h('a.primary', { href: pay }, t('pay_now'))] : []));
	for (;;) {
		await pause((data.poll_after_ms || 2000) * (1 + Math.random() * 0.2));
		if (!ctx.alive())
			return null;
		try {
			data = await cover(data.packet.id);
		} catch (problem) {
			if (!problem.retryable)
				throw problem;
			await pause(problem.retryAfterMs || 1000);
			continue;
		}
		if (data.packet.state !== 'unpaid')
			return data;
	}
}

function closedFace(data, text) {
	return [face(data, h('p.money-won', {}, '—'), h('p', { 'data-outcome': '', role: 'status' }, text)), ...footer(data)];
}

export async function packetView(ctx) {
	const [id] = ctx.args;
	let data = await cover(id);
	if (data.packet.state === 'unpaid')
		data = await waitForPayment(ctx, data);
	if (!data)
		return null;
	if (data.my_claim) {
		follow(ctx, data, data.my_claim);
		return null;
	}
	if (sealed[data.packet.state])
		return closedFace(data, t(sealed[data.packet.state]));

	const coin = h('button.coin', { type: 'button', 'aria-label': t('open_label') }, t('open'));
	coin.addEventListener('click', async () => {
		coin.disabled = true;
		coin.classList.add('turning');
		try {
			const result = await claim(id);
			if (result.claim)
				await follow(ctx, data, result.claim);
			else if (ctx.alive())
				ctx.main.replaceChildren(...closedFace(data, t(result.outcome)));
		} catch (problem) {
			toast(problem.message);
			coin.disabled = false;
			coin.classList.remove('turning');
		}
	});
	return [face(data, coin, h('p', {}, `${data.packet.remaining_count}/${data.packet.count}`)), ...footer(data)];
}
