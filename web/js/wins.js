// The user's subsidies: the server's list, and what this phone has won. A win is kept here until it is spent or has expired, so
// that it can be sent although the list of tokens is away for a while; the server alone says whether it is good.
import { subsidies } from './api.js';

const shelf = () => `hb-wins-${localStorage.getItem('hb-uid')}`;

function kept() {
	try {
		return JSON.parse(localStorage.getItem(shelf()) || '[]').filter((win) => Date.parse(win.expires_at) > Date.now());
	} catch {
		return [];
	}
}

const keep = (wins) => localStorage.setItem(shelf(), JSON.stringify(wins.slice(-100)));

export const remember = (win) => keep([...kept().filter((other) => other.subsidy_id !== win.subsidy_id), win]);
export const forget = (id) => keep(kept().filter((win) => win.subsidy_id !== id));

const known = (win) => ({ ...win, state: 'usable', source: 'phone' });

// The server's list is whole unless it says otherwise: then the wins of this phone fill it up.
export async function mySubsidies() {
	const page = await subsidies();
	const listed = new Set(page.data.map((s) => s.subsidy_id));
	if (!page.degraded.length && !page.next_cursor)
		keep(kept().filter((win) => listed.has(win.subsidy_id)));
	for (const s of page.data)
		if (s.state !== 'usable')
			forget(s.subsidy_id);
	return { data: [...page.data, ...kept().filter((win) => !listed.has(win.subsidy_id)).map(known)], degraded: page.degraded };
}

// One of them, or null. A win of this phone needs no list: it can be sent at once.
export async function findSubsidy(id) {
	const mine = kept().find((win) => win.subsidy_id === id);
	if (mine)
		return known(mine);
	return (await mySubsidies()).data.find((s) => s.subsidy_id === id) || null;
}
