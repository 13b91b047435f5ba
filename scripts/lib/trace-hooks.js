// Hooks of trace-loads.js, in the loader's thread.
import { appendFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

let target;

export function initialize(file) {
  target = file;
}

export async function load(url, context, next) {
  if (url.startsWith('file:')) appendFileSync(target, `${fileURLToPath(url)}\n`);
  return await next(url, context);
}
