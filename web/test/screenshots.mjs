// The README's pictures: the top of a page, light and dark. usage: node screenshots.mjs PAGE OUT
import {join, resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import puppeteer from 'puppeteer-core';

const [path, out] = process.argv.slice(2).map((name) => resolve(name));
const browser = await puppeteer.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox']});
for (const scheme of ['light', 'dark']) {
  const page = await browser.newPage();
  await page.setViewport({width: 900, height: 1150});
  await page.emulateMediaFeatures([{name: 'prefers-color-scheme', value: scheme}]);
  await page.goto(pathToFileURL(path).href);
  await page.waitForSelector('html[data-ready]');
  await page.screenshot({path: join(out, `page-${scheme}.png`)});
}
await browser.close();
