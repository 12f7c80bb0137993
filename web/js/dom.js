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

let hiding = 0;
export function toast(text) {
	const box = document.getElementById('toast');
	box.textContent = text;
	box.hidden = false;
	clearTimeout(hiding);
	hiding = setTimeout(() => { box.hidden = true; }, 4000);
}

export const yuan = (money) => `¥${(money.amount / 100).toFixed(2)}`;

export function when(iso, lang) {
	return new Intl.DateTimeFormat(lang === 'zh' ? 'zh-CN' : 'en-GB',
		{ month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' }).format(new Date(iso));
}
