import { seed, send } from './api.js';
import { h, toast } from './dom.js';
import { t } from './i18n.js';

const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
const random = (n) => hex(crypto.getRandomValues(new Uint8Array(n)));

// "12.34" → 1234 fen, without floats; NaN when it is not an amount.
export function fen(text) {
	const m = /^(\d{1,9})(?:\.(\d{1,2}))?$/.exec(text.trim());
	return m ? Number(m[1]) * 100 + Number((m[2] || '').padEnd(2, '0')) : NaN;
}

const field = (name, label, control) =>
	h('label', {}, label, control, h('span.field-error', { 'data-error': name }));

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
	}
	form.querySelector('[aria-invalid]')?.focus();
	toast(problem.message);
}

export function sendView() {
	const total = h('input', { name: 'total', inputmode: 'decimal', required: true, value: '100.00', autocomplete: 'off' });
	const count = h('input', { name: 'count', inputmode: 'numeric', required: true, value: '10', pattern: '[1-9][0-9]{0,4}', autocomplete: 'off' });
	const split = h('select', { name: 'split' }, h('option', { value: 'lucky' }, t('lucky')), h('option', { value: 'equal' }, t('equal')));
	const greeting = h('input', { name: 'greeting', maxlength: '50', placeholder: t('greeting_hint') });
	const scope = h('select', { name: 'scope' }, h('option', { value: 'public' }, t('scope_public')), h('option', { value: 'invited' }, t('scope_invited')));
	const invited = h('input', { name: 'invited', inputmode: 'numeric', autocomplete: 'off' });
	const guests = field('invited', t('invited'), invited);
	const button = h('button.primary', { type: 'submit' }, t('pay'));
	// What was sent last: the same input again repeats it to the letter under its key, so that a lost answer makes no second envelope.
	let last = { input: '', key: '', packet: null };
	guests.hidden = true;
	scope.addEventListener('change', () => { guests.hidden = scope.value !== 'invited'; });

	const form = h('form.card', { novalidate: true, onsubmit: async (e) => {
		e.preventDefault();
		const amount = fen(total.value);
		if (!Number.isInteger(amount) || !/^[1-9]\d{0,4}$/.test(count.value.trim())) {
			const wrong = Number.isInteger(amount) ? 'count' : 'total';
			explain(form, { errors: [{ field: wrong }], message: t(`bad_${wrong}`) });
			return;
		}
		button.disabled = true;
		try {
			const input = {
				kind: 'c2c', split: split.value, total: { amount, currency: 'CNY' }, count: Number(count.value), scope: scope.value,
				...(greeting.value ? { greeting: greeting.value } : {}),
				...(scope.value === 'invited' ? { invited: invited.value.split(/[\s,，]+/).filter(Boolean) } : {}),
			};
			if (last.input !== JSON.stringify(input)) {
				const mine = await seed();
				last = {
					input: JSON.stringify(input), key: random(16), hash: mine.seed_hash,
					packet: { ...input, seed_id: mine.seed_id, client_nonce: random(16) },
				};
			}
			const made = await send(last.packet, last.key);
			localStorage.setItem(`hb-seed-${made.packet.id}`, last.hash);
			localStorage.setItem(`hb-cashier-${made.packet.id}`, made.payment.cashier_url);
			// Back from the cashier is the envelope, not the form that would make another.
			history.replaceState(null, '', `#/packet/${made.packet.id}`);
			location.assign(made.payment.cashier_url);
		} catch (problem) {
			explain(form, problem);
			button.disabled = false;
		}
	} },
	h('div.two', {}, field('total', t('total'), total), field('count', t('count'), count)),
	field('split', t('split'), split), field('greeting', t('greeting'), greeting),
	field('scope', t('scope'), scope), guests, button);
	return [h('h1', {}, t('send_one')), form];
}
