// Parts of a page that load by themselves: what fails says so in its own place, with a button, and leaves the rest usable.
import { h, toast } from './dom.js';
import { t } from './i18n.js';

export const failure = (problem, again) => h('div.card', { role: 'alert' },
	h('p', {}, problem.message), problem.retryable ? h('button.second', { type: 'button', onclick: again }, t('again')) : null);

export async function part(load) {
	const box = h('div');
	const fill = async () => {
		try {
			box.replaceChildren(...[await load()].flat());
		} catch (problem) {
			box.replaceChildren(failure(problem, (e) => {
				e.currentTarget.disabled = true;
				fill();
			}));
		}
	};
	await fill();
	return box;
}

// A list that comes in pages: load(cursor) → {data, next_cursor}. `grown(rows so far, are these all)` is told after each.
export async function pages(marks, load, row, grown = () => {}) {
	const list = h('ul.list', marks);
	const more = h('button.second', { type: 'button' }, t('more'));
	const all = [];
	let cursor = null;
	const next = async () => {
		const page = await load(cursor);
		cursor = page.next_cursor;
		all.push(...page.data);
		list.append(...page.data.map((item) => h('li', { tabindex: '-1' }, row(item))));
		more.hidden = !cursor;
		grown(all, !cursor);
	};
	more.addEventListener('click', async () => {
		const shown = list.childElementCount;
		more.disabled = true;
		await next().catch((problem) => toast(problem.message));
		more.disabled = false;
		// A keyboard that pressed the button stays where it was, or goes to the first new row when the button is gone.
		(more.hidden ? list.children[shown] : more)?.focus({ preventScroll: true });
	});
	await next();
	return h('section.card.listed', {}, list, all.length ? null : h('p.soft', {}, t('nothing')), more);
}
