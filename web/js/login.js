import { demo, login } from './api.js';
import { h, toast } from './dom.js';
import { t } from './i18n.js';

async function enter(uid) {
	try {
		const session = await login(uid);
		localStorage.setItem('hb-uid', session.uid);
		const to = sessionStorage.getItem('hb-after-login') || '#/';
		sessionStorage.removeItem('hb-after-login');
		// Back should not lead to the login again.
		location.replace(to);
	} catch (problem) {
		toast(problem.message);
	}
}

export async function loginView() {
	const { users = {} } = await demo();
	const own = h('input', { name: 'uid', inputmode: 'numeric', pattern: '[1-9][0-9]{0,16}', required: true, autocomplete: 'off' });
	return [
		h('h1', {}, t('demo_users')),
		...Object.entries(users).map(([cell, uids]) => h('section', {},
			h('h2', {}, `${t('cell')} ${cell}`),
			h('div.users', {}, uids.map((uid) => h('button', { type: 'button', onclick: () => enter(uid) }, uid))))),
		h('form.card', { onsubmit: (e) => { e.preventDefault(); enter(own.value.trim()); } },
			h('label', {}, t('other_uid'), own), h('button.primary', { type: 'submit' }, t('sign_in'))),
	];
}
