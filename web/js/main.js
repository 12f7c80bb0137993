// Routes of the page: the part after '#' names a view; each view fills <main>.
import { h, hush } from './dom.js';
import { lang, setLang, t } from './i18n.js';
import { loginView } from './login.js';
import { homeView } from './home.js';
import { sendView, spendView } from './send.js';
import { packetView } from './packet.js';
import { detailsView } from './details.js';
import { rainView, rainsView } from './rain.js';
import { subsidiesView } from './subsidies.js';
import { walletView, withdrawalView } from './wallet.js';
import { failure } from './part.js';

const routes = [
	[/^\/login$/, loginView],
	[/^\/send$/, sendView],
	[/^\/packet\/(\d+)$/, packetView],
	[/^\/packet\/(\d+)\/details$/, detailsView],
	[/^\/rain$/, rainsView],
	[/^\/rain\/([a-z0-9_-]+)$/, rainView],
	[/^\/subsidies$/, subsidiesView],
	[/^\/subsidies\/(\d+)$/, spendView],
	[/^\/wallet$/, walletView],
	[/^\/withdrawals\/(\d+)$/, withdrawalView],
	[/^\/?$/, homeView],
];

let generation = 0;
const main = document.getElementById('view');

function frame() {
	const uid = localStorage.getItem('hb-uid');
	document.getElementById('lang').textContent = lang === 'zh' ? 'English' : '中文';
	document.getElementById('who').textContent = uid ? `${t('user')} ${uid}` : t('sign_in');
	document.documentElement.lang = lang;
	document.getElementById('offline').textContent = navigator.onLine ? '' : t('offline_now');
}

function put(...nodes) {
	main.replaceChildren(...nodes);
	const heading = main.querySelector('h1');
	document.title = heading ? `${heading.textContent} · ${t('title')}` : t('title');
}

async function show({ redraw = false } = {}) {
	const mine = ++generation;
	const path = location.hash.slice(1) || '/';
	frame();
	hush();
	if (!localStorage.getItem('hb-uid') && path !== '/login') {
		sessionStorage.setItem('hb-after-login', location.hash);
		location.replace('#/login');
		return;
	}
	const [pattern, view] = routes.find(([r]) => r.test(path)) || routes[routes.length - 1];
	const alive = () => mine === generation;
	// A view that is slow says that it is being fetched; one that is quick does not flicker.
	const slow = setTimeout(() => { if (alive()) main.setAttribute('aria-busy', 'true'); }, 250);
	try {
		const nodes = await view({ main, alive, redraw, show: put, args: (path.match(pattern) || []).slice(1) });
		if (alive() && nodes)
			put(...[nodes].flat());
	} catch (problem) {
		if (!alive())
			return;
		put(failure(problem, () => show()), h('a.second', { href: '#/' }, t('to_home')));
	} finally {
		clearTimeout(slow);
		if (alive())
			main.removeAttribute('aria-busy');
	}
	if (alive() && mine > 1 && !main.contains(document.activeElement)) {
		main.focus({ preventScroll: true });
		window.scrollTo(0, 0);
	}
}

// Another language draws the view anew; what was typed stays.
async function changeLanguage() {
	const typed = new Map(Array.from(main.querySelectorAll('[name]'), (control) => [control.name, control.value]));
	setLang(lang === 'zh' ? 'en' : 'zh');
	await show({ redraw: true });
	for (const control of main.querySelectorAll('[name]'))
		if (typed.has(control.name) && control.value !== typed.get(control.name)) {
			control.value = typed.get(control.name);
			control.dispatchEvent(new Event('change', { bubbles: true }));
		}
}

document.getElementById('lang').addEventListener('click', changeLanguage);
window.addEventListener('hashchange', () => show());
window.addEventListener('online', frame);
window.addEventListener('offline', frame);
// The browser's Back button, from the cashier, may bring the page back as it was left: with a form that has been sent.
window.addEventListener('pageshow', (e) => { if (e.persisted) show(); });
show();
