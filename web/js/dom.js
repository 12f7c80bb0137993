// Builds DOM nodes: h('a.primary', {href: '#/'}, 'text', child). Text is always text, never HTML.
export function h(spec, props = {}, ...children) {
	const [tag, ...classes] = spec.split('.');
	const node = document.createElement(tag || 'div');
	if (classes.length)
		node.className = classes.join(' ');
	for (const [key, value] of Object.entries(props)) {
		if (key.startsWith('on'))
			node.addEventListener(key.slice(2), value);
		else if (value === true)
			node.setAttribute(key, '');
		else if (value !== false && value !== null && value !== undefined)
			node.setAttribute(key, value);
	}
	node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
	return node;
}

// The box is always there, so that screen readers notice when its text changes.
let hiding = 0;
export function toast(text) {
	const box = document.getElementById('toast');
	box.textContent = text;
	clearTimeout(hiding);
	hiding = setTimeout(hush, 5000);
}

export function hush() {
	document.getElementById('toast').textContent = '';
}

// Fen as yuan, in integers all the way; + only where money comes and goes.
export function yuan(money, signed = false) {
	const fen = Math.abs(money.amount);
	const sign = money.amount < 0 ? '−' : signed ? '+' : '';
	return `${sign}¥${Math.trunc(fen / 100)}.${String(fen % 100).padStart(2, '0')}`;
}

// "12.34" → 1234 fen, without floats; NaN when it is not an amount. Full-width digits of Chinese keyboards are digits.
export function fen(text) {
	const m = /^(\d{1,9})(?:\.(\d{0,2}))?$/.exec(text.normalize('NFKC').replace('。', '.').trim());
	return m ? Number(m[1]) * 100 + Number((m[2] || '').padEnd(2, '0')) : NaN;
}

export function when(iso, lang) {
	return new Intl.DateTimeFormat(lang === 'zh' ? 'zh-CN' : 'en-GB',
		{ month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' }).format(new Date(iso));
}

const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
export const random = (bytes) => hex(crypto.getRandomValues(new Uint8Array(bytes)));
