import { bindVideo, claim, cover, pause } from './api.js';
import { h, toast, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';

// States in which there is nothing to open any more.
const sealed = ['exhausted', 'expired', 'refunding', 'closed'];

function face(data, ...children) {
	return h('section.cover', { 'data-state': data.packet.state },
		h('h1.from', {}, t('from', data.sender.uid)),
		h('p.greeting', {}, data.packet.greeting || t('greeting_hint')),
		...children);
}

async function copy() {
	try {
		await navigator.clipboard.writeText(location.href);
		toast(t('copied'));
	} catch {
		toast(location.href);
	}
}

// The sender may hang the envelope under a video later, once.
function videoForm(id) {
	const video = h('input', { name: 'video_id', maxlength: '64', required: true, autocomplete: 'off', spellcheck: 'false' });
	const form = h('form.inline', { onsubmit: async (e) => {
		e.preventDefault();
		try {
			await bindVideo(id, video.value.trim());
			form.closest('details').replaceWith(h('p.soft', { role: 'status' }, t('video_is', video.value.trim())));
		} catch (problem) {
			toast(problem.message);
		}
	} }, h('label', {}, t('video_id'), video), h('button.second', { type: 'submit' }, t('bind')));
	return h('details', {}, h('summary', {}, t('bind_video')), form);
}

function footer(data) {
	const mine = data.sender.uid === localStorage.getItem('hb-uid');
	return [
		h('p.soft', {}, t('expires', when(data.packet.expires_at, lang)), data.packet.kind === 'b2c' ? ` · ${t('from_subsidy')}` : null,
			data.packet.video_id ? ` · ${t('video_is', data.packet.video_id)}` : null),
		mine && !data.packet.video_id ? videoForm(data.packet.id) : null,
		data.my_claim || mine ? h('a.second', { href: `#/packet/${data.packet.id}/details` }, t('details')) : null,
		h('div.two', {}, h('button.second', { type: 'button', onclick: copy }, t('share')), h('a.second', { href: '#/' }, t('to_home'))),
	].filter(Boolean);
}

// Money of a b2c envelope goes to the wallet here, and so does what finance refused; all else to the balance at finance.
function transfer(data, my) {
	const b2c = data.packet.kind === 'b2c';
	const arrived = { done: b2c ? 'arrived_wallet' : 'arrived', wallet: 'arrived_wallet', returned: 'returned' }[my.transfer_state];
	const text = t(arrived || (b2c ? 'arriving_wallet' : 'arriving'));
	return h('p.transfer', { 'data-transfer': my.transfer_state, role: 'status' }, arrived === 'arrived_wallet' ? h('a', { href: '#/wallet' }, text) : text);
}

function won(data, my) {
	return [face(data, h('p', {}, t('you_got')),
		h('p.money-won', { 'data-amount': String(my.amount.amount), tabindex: '-1' }, yuan(my.amount)),
		transfer(data, my)), ...footer({ ...data, my_claim: my })];
}

// Shows the amount at once, and looks again a few times until the transfer has arrived.
async function follow(ctx, data, my) {
	if (!ctx.alive())
		return;
	ctx.show(...won(data, my));
	ctx.main.querySelector('[data-amount]').focus({ preventScroll: true });
	for (let wait = 400; my.transfer_state === 'pending' && wait < 20000 && ctx.alive(); wait *= 1.7) {
		await pause(wait);
		const next = await cover(data.packet.id).catch(() => null);
		if (next?.my_claim && next.my_claim.transfer_state !== my.transfer_state && ctx.alive()) {
			my = next.my_claim;
			ctx.main.querySelector('[data-transfer]').replaceWith(transfer(data, my));
		}
	}
}

async function waitForPayment(ctx, data) {
	if (!ctx.alive())
		return null;
	const pay = localStorage.getItem(`hb-cashier-${data.packet.id}`);
	ctx.show(face(data, h('p.money-won', {}, yuan(data.packet.total)), h('p', {}, t('unpaid')),
		h('p', { role: 'status' }, t('waiting_pay'))), ...(pay ? [h('a.primary', { href: pay }, t('pay_now'))] : []),
	h('a.second', { href: '#/' }, t('to_home')));
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
	return [face(data, h('p.money-won', {}, '—'), h('p', { 'data-outcome': '', role: 'status', tabindex: '-1' }, text)), ...footer(data)];
}

function coinFor(ctx, id, data) {
	const doing = h('p', { role: 'status' }, t('left', data.packet.remaining_count, data.packet.count));
	const coin = h('button.coin', { type: 'button', 'aria-label': t('open_label') }, t('open'));
	coin.addEventListener('click', async () => {
		coin.disabled = true;
		coin.classList.add('turning');
		doing.textContent = t('opening');
		try {
			const result = await claim(id);
			if (result.claim) {
				await follow(ctx, data, result.claim);
			} else if (ctx.alive()) {
				ctx.show(...closedFace(data, t(`packet_${result.outcome}`)));
				ctx.main.querySelector('[data-outcome]').focus({ preventScroll: true });
			}
		} catch (problem) {
			toast(problem.message);
			doing.textContent = problem.message;
			coin.disabled = false;
			coin.classList.remove('turning');
			coin.focus({ preventScroll: true });
		}
	});
	return [coin, doing];
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
	if (sealed.includes(data.packet.state))
		return closedFace(data, t(`packet_${data.packet.state}`));
	return [face(data, ...coinFor(ctx, id, data)), ...footer(data)];
}
