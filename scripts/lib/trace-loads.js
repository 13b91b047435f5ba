// Preloaded by gateway-manifest.js: writes down every module that a program loads, when it ends.
import { appendFileSync } from 'node:fs';
import { createRequire, register } from 'node:module';
import process from 'node:process';

const target = process.env.SEALGATE_TRACE;
register(new URL('./trace-hooks.js', import.meta.url), { data: target });
process.on('exit', () => {
  // What CommonJS modules require passes no hook.
  const { cache } = createRequire(import.meta.url);
  appendFileSync(
    target,
    Object.keys(cache)
      .map((file) => `${file}\n`)
      .join(''),
  );
});
