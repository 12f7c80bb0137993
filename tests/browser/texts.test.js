// Every text that the pages name exists in both languages, and none is left over.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const folder = new URL('../../web/js/', import.meta.url);
const sources = readdirSync(folder).filter((name) => name !== 'i18n.js').map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
const lines = readFileSync(new URL('i18n.js', folder), 'utf8').match(/^\t\w+: \[.*\],$/gm);
const rows = Object.fromEntries(lines.map((line) => [line.match(/^\t(\w+):/)[1], line.match(/'((?:[^'\\]|\\.)*)'/g)]));
// Names that are put together: t(`state_${…}`).
const families = [...sources.matchAll(/`(\w+_)\$\{/g)].map((m) => m[1]);
const quoted = new Set([...sources.matchAll(/'(\w+)'/g)].map((m) => m[1]));

test('every text exists once, in Chinese and in English, with the same places to fill', () => {
	assert.equal(new Set(lines.map((line) => line.match(/^\t(\w+):/)[1])).size, lines.length);
	for (const [name, texts] of Object.entries(rows)) {
		assert.equal(texts.length, 2, name);
		const [zh, en] = texts.map((text) => (text.match(/\{\d\}/g) || []).sort());
		assert.deepEqual(zh, en, name);
	}
});

test('every text that a page names exists', () => {
	for (const [, name] of sources.matchAll(/\bt\('(\w+)'/g))
		assert.ok(rows[name], name);
	for (const family of families)
		assert.ok(Object.keys(rows).some((name) => name.startsWith(family)), family);
});

test('no text is left over', () => {
	const left = Object.keys(rows).filter((name) => !quoted.has(name) && !families.some((family) => name.startsWith(family)));
	assert.deepEqual(left, []);
});
