// The report page in a real browser: every chart drawn, nothing fetched, nothing said on the console, tables that sort, tooltips,
// the dark, a phone, the keyboard and print. usage: node page.mjs PROGRAM REPOSITORY OUT    (screenshots go to OUT)
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdirSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {join, resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import puppeteer from 'puppeteer-core';
import {profile} from './profile.mjs';

const [program, repository, out] = process.argv.slice(2).map((path) => resolve(path));
mkdirSync(out, {recursive: true});
const results = join(repository, 'docs/results');
const gpt2 = join(results, 'study-gpt2-small-nvidia-h200'), distilbert = join(results, 'study-distilbert-sst2-nvidia-h200');
const write = (name, ...inputs) => {
  const page = join(out, name);
  execFileSync(program, ['report', ...inputs, '-o', page, '--price', '0.25', '--carbon', '380', '--quiet']);
  return page;
};

// --- inputs: the kept studies, a profile, and names that mean harm
const study = JSON.parse(readFileSync(join(gpt2, 'study.json')));
const file = (name, text) => {
  writeFileSync(join(out, name), text);
  return join(out, name);
};
const profileFile = file('profile.json', profile(study));
const evil = '</script><script>window.harmed = 1</script><img src=x onerror="window.harmed = 2">';
const hostile = JSON.parse(JSON.stringify(study).replaceAll('gpt2-small', JSON.stringify(evil).slice(1, -1)));
for (const run of hostile.runs) run.notes = [evil];
const pages = {
  studies: write('studies.html', gpt2, distilbert),
  profile: write('profile.html', profileFile),
  kept: write('kept.html', join(results, 'profile-gpt2-small-nvidia-h200-fp16'), join(results, 'profile-distilbert-sst2-nvidia-h200-fp16')),
  hostile: write('hostile.html', file('hostile.json', JSON.stringify(hostile))),
};
// A study that was just run: its own report.html, with power traces.
if (process.env.EAQ_PAGE_FRESH) pages.fresh = join(process.env.EAQ_PAGE_FRESH, 'report.html');

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb']});
const open = async (path, {width = 1200, height = 900, dark = false} = {}) => {
  const page = await browser.newPage();
  page.said = [];
  page.fetched = [];
  page.on('console', (message) => ['error', 'warn'].includes(message.type()) && page.said.push(message.text()));
  page.on('pageerror', (error) => page.said.push(String(error)));
  page.on('request', (request) => /^(file|data):/.test(request.url()) || page.fetched.push(request.url()));
  await page.setViewport({width, height, deviceScaleFactor: 1, isMobile: width < 500, hasTouch: width < 500});
  await page.emulateMediaFeatures([{name: 'prefers-color-scheme', value: dark ? 'dark' : 'light'}]);
  await page.goto(pathToFileURL(path).href);
  await page.waitForSelector('html[data-ready]', {timeout: 20000});
  return page;
};
let checks = 0;
const check = async (name, act) => {
  try {
    await act();
    console.log(`ok ${++checks} ${name}`);
  } catch (error) {
    console.error(`not ok: ${name}`);
    await browser.close();
    throw error;
  }
};

for (const [name, path] of Object.entries(pages)) {
  const page = await open(path);
  await check(`${name}: under 3 MB, opens without a word on the console, fetches nothing`, async () => {
    assert.ok(statSync(path).size < 3e6);
    assert.deepEqual(page.said, []);
    assert.deepEqual(page.fetched, []);
  });
  await check(`${name}: every chart is drawn, with marks in it and words for it`, async () => {
    const figures = await page.$$eval('figure.figure', (all) => all.map((f) => ({
      drawn: f.dataset.drawn, marks: f.querySelectorAll('svg .mark-group path, svg .mark-symbol path, svg .mark-rect path, svg .mark-rule line, svg .mark-line path').length,
      width: f.querySelector('svg')?.getBoundingClientRect().width ?? 0, words: f.querySelector('.chart').getAttribute('aria-label').length,
      broken: /NaN|undefined|Infinity/.test(f.querySelector('svg')?.outerHTML ?? ''), caption: f.querySelector('figcaption').textContent.length})));
    assert.ok(figures.length >= 3, `${figures.length} charts`);
    for (const f of figures) {
      assert.equal(f.drawn, 'yes');
      assert.ok(f.marks > 0 && f.width > 600 && f.words > 30 && f.caption > 30 && !f.broken, JSON.stringify(f));
    }
  });
  await page.screenshot({path: join(out, `${name}-light.png`), fullPage: true});
  await page.close();
}

if (pages.fresh)
  await check('a fresh study has its power traces', async () => {
    const page = await open(pages.fresh);
    assert.match(await page.$eval('main', (main) => main.textContent), /Power of synthetic/);
    assert.ok(await page.$$eval('figure.figure svg .mark-line path', (all) => all.some((path) => path.getAttribute('d').length > 500)));
    await page.close();
  });

await check('names that mean harm are text', async () => {
  const page = await open(pages.hostile);
  assert.equal(await page.evaluate(() => window.harmed), undefined);
  assert.equal(await page.$$eval('img', (all) => all.length), 0);
  assert.ok((await page.$eval('h2', (h) => h.textContent)).includes('onerror'));
  await page.close();
});

const ordered = (values, sign) => assert.deepEqual(values, [...values].sort((a, b) => sign * (a - b)));

await check('tables sort by click and by keyboard, numbers by value', async () => {
  const page = await open(pages.studies);
  const column = (c) => page.$eval('table.sortable', (t, i) => [...t.tBodies[0].rows].map((r) => Number(r.cells[i].dataset.v)), c);
  const state = (c) => page.$eval('table.sortable', (t, i) => t.tHead.rows[0].cells[i].getAttribute('aria-sort'), c);
  const buttons = await page.$$('table.sortable thead button');
  await buttons[1].click();
  ordered(await column(1), 1);
  assert.equal(await state(1), 'ascending');
  await buttons[3].focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  ordered(await column(3), -1);
  assert.equal(await state(3), 'descending');
  assert.equal(await state(1), null);
  await page.close();
});

await check('the table of sites sorts by joules, rows without any last', async () => {
  const page = await open(pages.kept);
  const table = await page.evaluateHandle(() => [...document.querySelectorAll('table.sortable')].find((t) => t.tHead.textContent.includes('mJ (loops)')));
  const at = await table.evaluate((t) => [...t.tHead.rows[0].cells].findIndex((c) => c.textContent.includes('mJ (loops)')));
  const button = (await table.$$('thead button'))[at];
  for (const sign of [1, -1]) {
    await button.click();
    const values = await table.evaluate((t, i) => [...t.tBodies[0].rows].map((r) => r.cells[i].dataset.v ?? ''), at);
    const known = values.findIndex((v) => v === '') < 0 ? values : values.slice(0, values.findIndex((v) => v === ''));
    assert.ok(known.length > 40 && values.slice(known.length).every((v) => v === ''), String(values));
    ordered(known.map(Number), sign);
  }
  await page.close();
});

// What the first mark of a chart, by the chart's heading, says under the pointer.
const tooltip = async (page, heading, mark) => {
  const figures = await page.$$('figure.figure');
  for (const figure of figures) {
    if (!(await figure.evaluate((f) => f.textContent)).includes(heading)) continue;
    for (const path of (await figure.$$(mark)).slice(0, 20)) {
      await path.scrollIntoView();
      const box = await path.boundingBox();
      if (!box) continue;
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      const said = await page.waitForSelector('#vg-tooltip-element.visible', {timeout: 1500}).then((e) => e.evaluate((n) => n.textContent)).catch(() => '');
      if (said) return said;
    }
  }
  return '';
};

await check('tooltips show a mark\'s figures with their interval, in every kind of chart', async () => {
  const study = await open(pages.studies);
  const pareto = await tooltip(study, '', 'svg .mark-symbol path[transform]');
  assert.match(pareto, /mJ per window/);
  assert.match(pareto, /\[\d+/);
  await study.close();
  const page = await open(pages.kept);
  const bar = 'svg .mark-rect path[d]', point = 'svg .mark-symbol path[transform]';
  for (const [heading, mark, ...parts] of [
    ['Joules of each part', bar, 'mJ, loops', 'mJ, in place', 'bound by', '['],
    ['Impact of each site', bar, 'KL, nats', 'predictions changed', '['],
    ['Pearson correlation', bar, 'Pearson', '95 %'],
    ['Spearman correlation', bar, 'Spearman', '95 %'],
    ['Energy roofline', point, 'flops a byte', 'pJ a flop', '[']]) {
    const said = await tooltip(page, heading, mark);
    for (const part of parts) assert.ok(said.includes(part), `${heading}: "${said}" has no "${part}"`);
  }
  await page.close();
});

await check('the dark has a dark paper and light letters, in charts too', async () => {
  const page = await open(pages.studies, {dark: true});
  const shades = await page.evaluate(() => {
    const light = (colour) => colour.match(/\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3;
    return [light(getComputedStyle(document.body).backgroundColor), light(getComputedStyle(document.querySelector('figure svg .role-axis-label text')).fill)];
  });
  assert.ok(shades[0] < 60 && shades[1] > 180, String(shades));
  await page.screenshot({path: join(out, 'studies-dark.png'), fullPage: true});
  await page.close();
  const other = await open(pages.profile, {dark: true});
  await other.screenshot({path: join(out, 'profile-dark.png'), fullPage: true});
  await other.close();
});

for (const name of ['studies', 'profile', 'kept'])
  await check(`${name} on a phone of 390 px: nothing but tables scrolls sideways`, async () => {
    const page = await open(pages[name], {width: 390, height: 844});
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${wide} px`);
    await page.screenshot({path: join(out, `${name}-phone.png`), fullPage: true});
    await page.close();
  });

await check('the keyboard reaches the skip link first, then the contents, and boxes that scroll', async () => {
  const page = await open(pages.studies);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.closest('nav')?.tagName), 'NAV');
  assert.ok(await page.$$eval('.scroll', (all) => all.every((box) => box.tabIndex === 0 && box.getAttribute('aria-label'))));
  await page.close();
});

await check('a screen reader finds captions, headed rows and columns, and one image a chart', async () => {
  const page = await open(pages.studies);
  const tree = JSON.stringify(await page.accessibility.snapshot({interestingOnly: false}));
  assert.match(tree, /"role":"(image|img)"/);
  assert.match(tree, /"role":"columnheader"/);
  assert.match(tree, /"role":"rowheader"/);
  assert.ok(await page.$$eval('table', (all) => all.every((t) => t.caption?.textContent)));
  const levels = await page.$$eval('h1, h2, h3', (all) => all.map((h) => Number(h.tagName[1])));
  assert.ok(levels[0] === 1 && levels.every((level, i) => i === 0 || level - levels[i - 1] <= 1));
  await page.close();
});

await check('in print everything is open and the paper is white, in the dark too', async () => {
  const page = await open(pages.studies, {dark: true});
  await page.emulateMediaType('print');
  const [paper, letters] = await page.evaluate(() => [
    getComputedStyle(document.documentElement).getPropertyValue('--paper').trim(), getComputedStyle(document.querySelector('figure svg .role-axis-label text')).fill]);
  assert.equal(paper, '#ffffff');
  assert.equal(letters, 'rgb(27, 31, 36)');
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  assert.equal(await page.$$eval('details:not([open])', (all) => all.length), 0);
  await page.pdf({path: join(out, 'studies.pdf'), format: 'A4'});
  assert.ok(statSync(join(out, 'studies.pdf')).size > 50000);
  await page.close();
});

await browser.close();
console.log(`${checks} checks hold; screenshots: ${out}`);
