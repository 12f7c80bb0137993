// Sending an envelope: one form for one's own money (c2c, then the cashier) and for a subsidy (b2c, open at once).
import { seed, send } from './api.js';
import { fen, h, random, toast, when, yuan } from './dom.js';
import { lang, t } from './i18n.js';
import { findSubsidy, forget } from './wins.js';

const field = (name, label, control, note) =>
	h('label', {}, label, control, note ? h('small.soft', {}, note) : null, h('span.field-error', { 'data-error': name, role: 'alert' }));

function explain(form, problem) {
	for (const control of form.elements)
		control.removeAttribute('aria-invalid');
	for (const box of form.querySelectorAll('[data-error]'))
		box.textContent = '';
	for (const error of problem.errors || []) {
		const name = error.field.split('.')[0];
		const box = form.querySelector(`[data-error="${name}"]`);
		if (!box)
			continue;
		box.textContent = problem.message;
		form.elements[name].setAttribute('aria-invalid', 'true');
		// An optional field may be folded away.
		const folded = form.elements[name].closest('details');
		if (folded)
			folded.open = true;
	}
	const wrong = form.querySelector('[aria-invalid]');
	wrong?.focus();
	if (!wrong)
		toast(problem.message);
}

function controls(count) {
	const scope = h('select', { name: 'scope' }, h('option', { value: 'public' }, t('scope_public')), h('option', { value: 'invited' }, t('scope_invited')));
	const guests = field('invited', t('invited'), h('input', { name: 'invited', inputmode: 'numeric', autocomplete: 'off' }));
	guests.hidden = true;
	scope.addEventListener('change', () => { guests.hidden = scope.value !== 'invited'; });
	return {
		count: field('count', t('count'), h('input', { name: 'count', inputmode: 'numeric', required: true, value: String(count), autocomplete: 'off' })),
		rest: [
			field('split', t('split'), h('select', { name: 'split' }, h('option', { value: 'lucky' }, t('lucky')), h('option', { value: 'equal' }, t('equal')))),
			field('greeting', t('greeting'), h('input', { name: 'greeting', maxlength: '50', placeholder: t('greeting_hint') })),
			field('scope', t('scope'), scope), guests,
			h('details', {}, h('summary', {}, t('video')),
				field('video_id', t('video_id'), h('input', { name: 'video_id', maxlength: '64', autocomplete: 'off', spellcheck: 'false' }), t('video_note'))),
		],
	};
}

const number = (text) => (/^[1-9]\d{0,4}$/.test(text.normalize('NFKC').trim()) ? Number(text.normalize('NFKC')) : NaN);

// What every kind of envelope has, as the contract names it.
function common(form) {
	const { split, count, scope, greeting, invited, video_id: video } = form.elements;
	return {
		split: split.value, count: number(count.value), scope: scope.value,
		...(greeting.value ? { greeting: greeting.value } : {}),
		...(video.value.trim() ? { video_id: video.value.trim() } : {}),
		...(scope.value === 'invited' ? { invited: invited.value.normalize('NFKC').split(/[\s,、]+/).filter(Boolean) } : {}),
	};
}

// A form that sends what `read` makes of it. What was sent last is kept: the same input again repeats it to the letter under
// its key, so that a lost answer makes no second envelope.
function sending(parts, button, read, sent) {
	let last = { input: '' };
	const form = h('form.card', { novalidate: true, onsubmit: async (e) => {
		e.preventDefault();
		if (button.disabled)
			return;
		const input = read(form);
		const wrong = ['total', 'count'].find((name) => input[name] !== undefined && !Number.isInteger(input[name].amount ?? input[name]));
		if (wrong) {
			explain(form, { errors: [{ field: wrong }], message: t(`bad_${wrong}`) });
			return;
		}
		button.disabled = true;
		try {
			if (last.input !== JSON.stringify(input)) {
				const mine = await seed();
				last = {
					input: JSON.stringify(input), key: random(16), hash: mine.seed_hash,
					packet: { ...input, seed_id: mine.seed_id, client_nonce: random(16) },
				};
			}
			const made = await send(last.packet, last.key);
			localStorage.setItem(`hb-seed-${made.packet.id}`, last.hash);
			sent(made);
		} catch (problem) {
			explain(form, problem);
			button.disabled = false;
		}
	} }, ...parts, button);
	return form;
}

export function sendView() {
	const { count, rest } = controls(10);
	const total = h('input', { name: 'total', inputmode: 'decimal', required: true, value: '100.00', autocomplete: 'off' });
	const form = sending([h('div.two', {}, field('total', t('total'), total), count), ...rest],
		h('button.primary', { type: 'submit' }, t('pay')),
		(filled) => ({ kind: 'c2c', total: { amount: fen(total.value), currency: 'CNY' }, ...common(filled) }),
		(made) => {
			localStorage.setItem(`hb-cashier-${made.packet.id}`, made.payment.cashier_url);
			// Back from the cashier is the envelope, not the form that would make another.
			history.replaceState(null, '', `#/packet/${made.packet.id}`);
			location.assign(made.payment.cashier_url);
		});
	return [h('h1', {}, t('send_one')), form];
}

function unusable(text, ...more) {
	return [h('h1', {}, t('send_subsidy')), h('div.card', { role: 'alert' }, h('p', {}, text)), ...more,
		h('a.second', { href: '#/subsidies' }, t('subsidies'))];
}

export async function spendView({ args: [id] }) {
	const subsidy = await findSubsidy(id);
	if (!subsidy)
		return unusable(t('subsidy_unknown'));
	if (subsidy.state !== 'usable')
		return unusable(t(`subsidy_${subsidy.state}`),
			...(subsidy.packet_id ? [h('a.primary', { href: `#/packet/${subsidy.packet_id}` }, t('to_packet'))] : []));
	// Every share needs a fen.
	const { count, rest } = controls(Math.min(10, subsidy.amount.amount));
	// Its row, once it is recorded; until then the sealed proof of the win.
	const paying = subsidy.token ? { subsidy_token: subsidy.token } : { subsidy_id: subsidy.subsidy_id };
	const form = sending([
		h('p.big', { 'data-subsidy': subsidy.subsidy_id }, yuan(subsidy.amount)),
		h('p.soft.center', {}, t('expires', when(subsidy.expires_at, lang))), count, ...rest],
	h('button.primary', { type: 'submit' }, t('send_free')),
	(filled) => ({ kind: 'b2c', ...paying, ...common(filled) }),
	(made) => {
		forget(id);
		location.replace(`#/packet/${made.packet.id}`);
	});
	return [h('h1', {}, t('send_subsidy')), form];
}
