// Routes of the page: the part after '#' names a view; each view fills <main>.
import { h } from './dom.js';
import { lang, setLang, t } from './i18n.js';
import { loginView } from './login.js';
import { homeView } from './home.js';
import { sendView } from './send.js';
import { packetView } from './packet.js';
import { detailsView } from './details.js';

const routes = [
	[/^\/login$/, loginView],
	[/^\/send$/, sendView],
	[/^\/packet\/(\d+)$/, packetView],
	[/^\/packet\/(\d+)\/details$/, detailsView],
	[/^\/?$/, homeView],
];

let generation = 0;

function frame() {
	const uid = localStorage.getItem('hb-uid');
	const language = document.getElementById('lang');
	language.textContent = lang === 'zh' ? 'English' : '中文';
	document.getElementById('who').textContent = uid ? `${t('user')} ${uid}` : t('sign_in');
	document.documentElement.lang = lang;
}

async function show() {
	const mine = ++generation;
	const path = location.hash.slice(1) || '/';
	frame();
	if (!localStorage.getItem('hb-uid') && path !== '/login') {
		sessionStorage.setItem('hb-after-login', location.hash);
		location.hash = '#/login';
		return;
	}
	const [pattern, view] = routes.find(([r]) => r.test(path)) || routes[routes.length - 1];
	const main = document.getElementById('view');
	const alive = () => mine === generation;
	try {
		const nodes = await view({ main, alive, args: (path.match(pattern) || []).slice(1) });
		if (alive() && nodes)
			main.replaceChildren(...[nodes].flat());
	} catch (problem) {
		if (!alive())
			return;
		main.replaceChildren(h('div.card', { role: 'alert' }, h('p', {}, problem.message),
			h('button.second', { type: 'button', onclick: show }, t('again')), h('a.second', { href: '#/' }, t('back'))));
	}
	if (alive() && mine > 1 && !main.contains(document.activeElement)) {
		main.focus({ preventScroll: true });
		window.scrollTo(0, 0);
	}
}

document.getElementById('lang').addEventListener('click', () => { setLang(lang === 'zh' ? 'en' : 'zh'); show(); });
window.addEventListener('hashchange', show);
// The browser's Back button, from the cashier, may bring the page back as it was left: with a form that has been sent.
window.addEventListener('pageshow', (e) => { if (e.persisted) show(); });
show();
