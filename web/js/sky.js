// Envelopes that fall, for fingers. They are hidden from keyboards and screen readers, which have a button; where motion is not
// wanted none falls.
import { h } from './dom.js';

const EVERY_MS = 380;
const FALL_MS = [2600, 4600];
const WIDTH_PX = 64;
const MOST = 14;
const still = window.matchMedia('(prefers-reduced-motion: reduce)');

export class Sky {
	constructor(caught) {
		this.node = h('div.drops', { 'aria-hidden': 'true' });
		this.caught = caught;
		this.timer = 0;
		this.holds = false; // one is in the hand: the others fall on
	}

	start() {
		if (this.timer || still.matches)
			return;
		this.timer = setInterval(() => this.drop(), EVERY_MS);
		this.drop();
	}

	stop() {
		clearInterval(this.timer);
		this.timer = 0;
		this.node.replaceChildren();
	}

	drop() {
		if (document.hidden || !this.node.isConnected || this.node.childElementCount >= MOST)
			return;
		const envelope = h('button.drop', { type: 'button', tabindex: '-1' });
		envelope.style.left = `${Math.random() * Math.max(0, this.node.clientWidth - WIDTH_PX)}px`;
		const [least, most] = FALL_MS;
		const tilt = Math.random() * 40 - 20;
		const fall = envelope.animate(
			[{ transform: `translateY(-90px) rotate(${tilt}deg)` }, { transform: `translateY(${this.node.clientHeight + 20}px) rotate(${-tilt}deg)` }],
			{ duration: least + Math.random() * (most - least), easing: 'linear' });
		fall.onfinish = () => envelope.remove();
		// At the first touch: what moves is not under the finger any more when it is lifted.
		envelope.addEventListener('pointerdown', (e) => {
			e.preventDefault();
			if (this.holds)
				return;
			fall.pause();
			envelope.classList.add('caught');
			setTimeout(() => envelope.remove(), 400);
			navigator.vibrate?.(20);
			this.caught({ x: envelope.offsetLeft, y: e.clientY - this.node.getBoundingClientRect().top });
		});
		this.node.append(envelope);
	}

	// A puff where an envelope turned out to be empty.
	miss(at) {
		if (!at || still.matches)
			return;
		const puff = h('span.puff', {}, '💨');
		puff.style.left = `${at.x}px`;
		puff.style.top = `${at.y}px`;
		puff.animate([{ opacity: 1, transform: 'none' }, { opacity: 0, transform: 'translateY(-40px)' }], { duration: 700 }).onfinish = () => puff.remove();
		this.node.append(puff);
	}
}
